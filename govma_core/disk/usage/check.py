"""Whether a version is still as a former walk found it: asks every directory, and a few files, instead of walking.

Every link, unlink, rename and create moves the ctime of a directory. What that does not show, files that grew in place
and links made outside the versions, is looked for in the samples.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from govma_core.disk.usage.pack import unpack_names
from govma_core.disk.usage.part import Part, Sample

_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To ask what is in a directory by name: cheaper than to open it for reading."""


def look_again(versions_fd: int, part: Part) -> list[Sample] | None:
    """Return the samples of a sealed part as they are now; None when the version must be walked again."""
    names = unpack_names(part.directories.names)
    depths = part.directories.depths.tolist()
    wanted: dict[int, list[Sample]] = {}
    for sample in part.samples:
        wanted.setdefault(sample.place, []).append(sample)
    opened = _to_open(depths, wanted)
    samples = []
    fds = [versions_fd]
    open_, stat, fstat, close = os.open, os.stat, os.fstat, os.close
    try:
        for place, (name, depth, opening, changed) in enumerate(
            zip(names, depths, opened, part.directories.changed, strict=True)
        ):
            while len(fds) > depth + 1:
                close(fds.pop())
            if opening:
                fds.append(open_(name, _FLAGS, dir_fd=fds[-1]))
                info = fstat(fds[-1])
            else:
                info = stat(name, dir_fd=fds[-1], follow_symlinks=False)
            if info.st_ctime_ns != changed or (place == 0 and (info.st_dev, info.st_ino) != (part.device, part.inode)):
                return None
            if opening:
                samples += [_again(fds[-1], sample) for sample in wanted.get(place, ())]
    except OSError:
        return None
    finally:
        for fd in fds[1:]:
            close(fd)
    return None if any(now.number != was.number for now, was in zip(samples, part.samples, strict=True)) else samples


def _to_open(depths: Sequence[int], wanted: Collection[int]) -> list[bool]:
    """Tell of each directory whether it must be opened: only when a directory or a sample in it is looked at."""
    opened = [after > depth for depth, after in zip(depths, [*depths[1:], 0], strict=True)]
    for place in wanted:
        opened[place] = True
    return opened


def _again(fd: int, sample: Sample) -> Sample:
    info = os.stat(sample.name, dir_fd=fd, follow_symlinks=False)
    row = info.st_blocks, info.st_size, info.st_nlink
    return Sample(sample.place, sample.name, info.st_dev, info.st_ino, row)
