"""The walk of a version for the account: no link is followed, nothing but directories is opened, any depth will do.

What vanishes meanwhile is passed over.
"""

from __future__ import annotations

import errno
import gc
import os
import selectors
import signal
import struct
import threading
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from govma_core.disk.usage_cache import Found
from govma_core.disk.usage_data import (
    DAMAGED,
    ROW_COLUMNS,
    Array,
    Directories,
    Part,
    Row,
    Rows,
    Sample,
    own_of,
    pack,
    pack_names,
    part_of,
    unpack,
    unpack_names,
)
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from govma_core.process.workers import Forked

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


GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
"""What a name says that vanished, or became another kind of thing, while we were at it."""

_SAMPLES = 8


class InodesDifferError(Exception):
    """The listing tells other inodes than stat (some overlays; files mounted on files): each name must be asked.

    Never gets out of the account.
    """


class Inodes:
    """What is known of the inodes of the versions walked so far.

    `rows` are those with several names, by device and number; `holders` tells by bits which of the versions have them.
    With `every` each name is asked for its inode.
    """

    def __init__(self, *, every: bool = False) -> None:
        self.rows: defaultdict[int, dict[int, Row]] = defaultdict(dict)
        self.holders: defaultdict[int, dict[int, int]] = defaultdict(dict)
        self.read = self._read_every if every else self._read
        self.begin()

    def begin(self) -> None:
        """Turn to another version."""
        self._names: defaultdict[int, list[int]] = defaultdict(list)
        self._stride = 1

    def _read(self, part: Part, fd: int, device: int) -> list[str]:
        """Count everything in an open directory that is none itself; give the names of the directories in it."""
        known, own = self.rows[device], part.own_on(device)
        name_of = self._names[device].append
        add_number, add_blocks, add_size = own.numbers.append, own.blocks.append, own.sizes.append
        below, new, files, last = [], {}, 0, None
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        files += 1
                    elif entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                        continue
                    last = entry
                    number = entry.inode()
                    name_of(number)
                    if number not in known:
                        new[number] = entry
        except OSError:
            part.unread += 1
        for number, entry in new.items():
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError as error:
                files -= entry.is_file(follow_symlinks=False)
                part.unread += error.errno not in GONE
                continue
            if info.st_ino != number or info.st_dev != device:
                _require_replaced(fd, entry.name, info)
                number = info.st_ino
                name_of(number)
            if info.st_nlink > 1:
                known[number] = info.st_blocks, info.st_size, info.st_nlink
            else:
                add_number(number)
                add_blocks(info.st_blocks)
                add_size(info.st_size)
        part.files += files
        if last is not None:
            self._sample(part, last)
        return below

    def _read_every(self, part: Part, fd: int, device: int) -> list[str]:
        """Do as _read() does, trusting stat alone."""
        below: list[str] = []
        try:
            found = os.scandir(fd)
        except OSError:
            part.unread += 1
            return below
        with found as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.name)
                    continue
                try:
                    info = entry.stat(follow_symlinks=False)
                except OSError as error:
                    part.unread += error.errno not in GONE
                    continue
                part.files += entry.is_file(follow_symlinks=False)
                self._names[info.st_dev].append(info.st_ino)
                if info.st_nlink > 1:
                    self.rows[info.st_dev][info.st_ino] = info.st_blocks, info.st_size, info.st_nlink
                else:
                    part.own_on(info.st_dev).add(info.st_ino, info.st_blocks, info.st_size)
        return below

    def _sample(self, part: Part, entry: os.DirEntry[str]) -> None:
        """Keep a file of every so many directories, evenly over the version."""
        place = len(part.directories.depths) - 1
        if place % self._stride == 0:
            with suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                row = info.st_blocks, info.st_size, info.st_nlink
                part.samples.append(Sample(place, entry.name, info.st_dev, info.st_ino, row))
        if len(part.samples) > _SAMPLES:
            del part.samples[1::2]
            self._stride *= 2

    def settle(self, part: Part) -> dict[int, list[int]]:
        """Sum the part up when its walk is over; give, by device, the inodes in it that have several names."""
        beyond = {}
        for device, names in self._names.items():
            known = self.rows[device]
            distinct = dict.fromkeys(names)
            if len(distinct) < len(names):
                for number, count in Counter(names).items():
                    if count > 1:
                        part.names_twice[device, number] = count
            beyond[device] = [number for number in distinct if number in known]
        for own in part.own.values():
            part.blocks += sum(own.blocks)
            part.sizes += sum(own.sizes)
        return beyond


def _require_replaced(fd: int, name: str, info: os.stat_result) -> None:
    """Raise InodesDifferError unless it was a race: the name now leads, by the listing too, where stat says."""
    with os.scandir(fd) as entries:
        listed = next((entry.inode() for entry in entries if entry.name == name), None)
    try:
        now = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return
        raise
    differs = listed is not None and (listed != now.st_ino or now.st_dev != os.fstat(fd).st_dev)
    # Replaced once more between the two, stat says something else than it did first.
    if differs and now.st_ino == info.st_ino:
        raise InodesDifferError


DEEPEST = 64
"""Directories held open at once; what lies deeper is reached by a new descent, and such a version is never sealed."""

SETTLED_NS = 50_000_000
"""A directory that changed so shortly before a walk could change again without its ctime telling: clocks of file
systems tick up to 10 ms apart."""
_SETTLED_COARSE_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000

_Path = tuple[str, ...]


class Walker:
    """Walks what lies in one directory; `step` is called once a directory, and may raise. `inodes` is what was met."""

    def __init__(self, versions_fd: int, step: Callable[[], None], *, every: bool = False) -> None:
        self._versions = versions_fd
        self._step = step
        self.inodes = Inodes(every=every)

    def version(self, name: str, bit: int) -> Part | None:
        """Walk a version; None when it is no directory (any more). `bit` marks it among the holders of inodes."""
        try:
            fd = os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=self._versions)
        except OSError as error:
            return None if error.errno in GONE else self._closed(name)
        part = self._walk(fd, name, frozenset())
        for device, numbers in self.inodes.settle(part).items():
            holders = self.inodes.holders[device]
            get = holders.get
            for number in numbers:
                holders[number] = get(number, 0) | bit
        return part

    def rest(self, versions: frozenset[str]) -> tuple[Part, dict[int, list[int]]]:
        """Walk all but these; give the part, and by device the inodes in it that have several names."""
        part = self._walk(os.dup(self._versions), ".", versions)
        return part, self.inodes.settle(part)

    def _closed(self, name: str) -> Part | None:
        """Return what can be known of a version that may not be read."""
        info = safefs.lstat(self._versions, name)
        if info is None:
            return None
        return Part(name, info.st_dev, info.st_ino, time.time(), info.st_blocks, info.st_size, unread=1)

    def _walk(self, root: int, name: str, skip: frozenset[str]) -> Part:
        """Walk the tree below the open directory, which is closed."""
        try:
            info = os.fstat(root)
            part = Part(name, info.st_dev, info.st_ino, time.time())
            self.inodes.begin()
            self._entered: list[str] = []
            deep: list[tuple[_Path, str]] = []
            self._descend(part, os.dup(root), (), deep, skip)
            shallow = not deep
            while deep:
                above, below = deep.pop()
                try:
                    with safefs.opened(root, *above) as parent:
                        fd = self._open(part, parent, below)
                        if fd is not None:
                            self._descend(part, fd, (*above, below), deep)
                except UnsafeTreeError:
                    continue
                except OSError as error:
                    part.unread += error.errno not in GONE
        finally:
            os.close(root)
        part.steady = shallow and not part.unread and _settled(part)
        if part.steady:
            part.directories.names = pack_names(self._entered)
        else:
            part.directories, part.samples = Directories(), []
        return part

    def _descend(
        self, part: Part, fd: int, path: _Path, deep: list[tuple[_Path, str]], skip: frozenset[str] = frozenset()
    ) -> None:
        """Walk the open directory at `path`, which is closed, and what is below it; too deep ones are put in `deep`."""
        trail = list(path)
        opened = [fd]
        try:
            waiting = [[name for name in self._enter(part, fd, part.name, 0) if name not in skip]]
            while opened:
                if not waiting[-1]:
                    os.close(opened.pop())
                    waiting.pop()
                    if trail:
                        trail.pop()
                elif len(opened) == DEEPEST:
                    above = tuple(trail)
                    deep.extend((above, name) for name in waiting[-1])
                    waiting[-1] = []
                else:
                    name = waiting[-1].pop()
                    child = self._open(part, opened[-1], name)
                    if child is not None:
                        opened.append(child)
                        trail.append(name)
                        waiting.append(self._enter(part, child, name, len(opened) - 1))
        finally:
            for fd in opened:
                os.close(fd)

    def _open(self, part: Part, parent: int, name: str) -> int | None:
        """Open a directory; None when it is gone or may not be read."""
        try:
            return os.open(name, safefs.DIRECTORY_FLAGS, dir_fd=parent)
        except OSError as error:
            if error.errno not in GONE:
                part.unread += 1
                with suppress(OSError):
                    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
                    part.blocks += info.st_blocks
                    part.sizes += info.st_size
            return None

    def _enter(self, part: Part, fd: int, name: str, depth: int) -> list[str]:
        """Count an open directory and what is in it; give the names of the directories in it."""
        self._step()
        info = os.fstat(fd)
        part.blocks += info.st_blocks
        part.sizes += info.st_size
        self._entered.append(name)
        part.directories.depths.append(depth)
        part.directories.changed.append(info.st_ctime_ns)
        return self.inodes.read(part, fd, info.st_dev)


def _settled(part: Part) -> bool:
    """Tell whether no directory changed so shortly before the walk that a further change might not show."""
    newest = max(part.directories.changed)
    margin = SETTLED_NS if newest % _SECOND_NS else _SETTLED_COARSE_NS
    return newest < part.taken * 1e9 - margin


_NUMBER = struct.Struct("=I")
_MOST = 8_000
"""Tasks that the pipe they are taken from can hold."""
_WAIT = 0.1

REST = "."
"""The task of walking all that is no version."""


class Survey:
    """What a pass is to look at: `tasks` are names of versions and REST, `sealed` are looked at again if they can be.

    `bits` gives the bit of each version. `every`, `step`: see Walker; `step` is called in this process only.
    """

    def __init__(
        self,
        versions_fd: int,
        tasks: Sequence[str],
        sealed: Mapping[str, Part],
        bits: Mapping[str, int],
        *,
        every: bool,
        step: Callable[[], None],
    ) -> None:
        self._fd = versions_fd
        self._tasks = tasks
        self._sealed = sealed
        self._bits = bits
        self._every = every
        self._step = step

    def carry_out(self, workers: int) -> Found:
        """Look at everything, with so many processes, of which this is one; InodesDifferError as Walker tells it."""
        # A fork of a process with several threads can be stuck for ever on what another thread held.
        alone = workers < 2 or len(self._tasks) < 2 or threading.active_count() > 1
        found = self._look(self._tasks, self._step) if alone else self._together(workers)
        done = found.walked.keys() | found.same.keys() | found.gone | ({REST} if found.rest else set())
        left = [task for task in self._tasks if task not in done]
        if left:
            # What a process that was killed had taken.
            found.add(self._look(left, self._step))
        return found

    def _look(self, tasks: Iterable[str], step: Callable[[], None]) -> Found:
        walker = Walker(self._fd, step, every=self._every)
        found = Found(rows=Rows(walker.inodes.rows, walker.inodes.holders))
        for task in tasks:
            if task == REST:
                found.rest, found.beyond = walker.rest(frozenset(self._bits))
                continue
            if task in self._sealed:
                step()
                samples = look_again(self._fd, self._sealed[task])
                if samples is not None:
                    found.same[task] = samples
                    continue
            part = walker.version(task, self._bits[task])
            if part is None:
                found.gone.add(task)
            else:
                found.walked[task] = part
        return found

    def _together(self, workers: int) -> Found:
        """Let forked processes help."""
        taking, giving = os.pipe()
        children: list[Forked] = []
        try:
            os.write(giving, b"".join(map(_NUMBER.pack, range(min(len(self._tasks), _MOST)))))
            os.close(giving)
            for _ in range(min(workers, len(self._tasks)) - 1):
                children.append(Forked(lambda answer: self._work(answer, taking)))
            found = self._look(self._taken(taking), self._step)
            for answer in self._collect(children):
                with suppress(*DAMAGED):
                    found.add(unpack_found(answer))
            return found
        finally:
            os.close(taking)
            for child in children:
                child.end()

    def _taken(self, taking: int) -> Iterator[str]:
        """Take tasks as long as there are any."""
        while record := os.read(taking, _NUMBER.size):
            yield self._tasks[_NUMBER.unpack(record)[0]]

    def _work(self, answer: int, taking: int) -> None:
        """Be a forked process: take tasks, and give one answer."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.disable()
        try:
            block = memoryview(pack_found(self._look(self._taken(taking), lambda: None)))
        except InodesDifferError:
            block = memoryview(pack({"differ": True}, []))
        while block:
            block = block[os.write(answer, block) :]

    def _collect(self, children: Sequence[Forked]) -> list[bytes]:
        """Read all answers to their ends."""
        blocks: dict[int, list[bytes]] = {child.pipe: [] for child in children}
        with selectors.DefaultSelector() as selector:
            for pipe in blocks:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                self._step()
                for key, _ in selector.select(_WAIT):
                    block = os.read(key.fd, 1 << 20)
                    blocks[key.fd].append(block)
                    if not block:
                        selector.unregister(key.fd)
        return [b"".join(found) for found in blocks.values()]


def pack_found(found: Found) -> bytes:
    """Return what a process found as bytes for the pipe."""
    rows, arrays = found.rows.pack()
    parts = [*found.walked.values(), *([found.rest] if found.rest else [])]
    for part in parts:
        arrays += part.directory_arrays() + part.own_arrays()
    arrays += [array("Q", numbers) for numbers in found.beyond.values()]
    head = {
        "rows": rows,
        "parts": [part.head() for part in parts],
        "rest": found.rest is not None,
        "same": {name: [sample.as_list() for sample in samples] for name, samples in found.same.items()},
        "gone": list(found.gone),
        "beyond": list(found.beyond),
    }
    return pack(head, arrays)


def unpack_found(block: bytes) -> Found:
    """Return what pack_found() was given; InodesDifferError when that is what the process found."""
    head, arrays = unpack(block)
    if "differ" in head:
        raise InodesDifferError
    left = iter(arrays)

    def take(count: int) -> list[Array]:
        return list(islice(left, count))

    found = Found(rows=Rows.unpack(head["rows"], take(ROW_COLUMNS * len(head["rows"]["devices"]))))
    parts = []
    for part_head in head["parts"]:
        part = part_of(part_head, take(3))
        part.own = own_of(part_head, take(3 * len(part_head["devices"])))
        parts.append(part)
    if head["rest"]:
        found.rest = parts.pop()
    found.walked = {part.name: part for part in parts}
    found.same = {name: [Sample.of(values) for values in samples] for name, samples in head["same"].items()}
    found.gone = set(head["gone"])
    found.beyond = {device: take(1)[0].tolist() for device in head["beyond"]}
    return found
