"""Where the name of a version is seen in what /proc tells of processes, and whether it is ours.

A version is recognised by its name as a whole component of a path, wherever that path begins: a process in a container
shows its own mounts (`/var/www/versions/data-build--…/html`). What stands at that place, as that process sees it, is
then compared with our version: another site may have one of the same name. In doubt it is ours.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

from govma_core.language import tr
from govma_core.versions.names import PREFIX

_PREFIX = PREFIX.encode()
# In links, maps and mounts alike: a component ends with a slash, the text, white space (" (deleted)" too), or with what
# separates the layers of an overlay.
_COMPONENT = re.compile(rb"/(" + _PREFIX + rb"[0-9hms-]+)(?=[/\s:,]|$)")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_LINKS = (("cwd", tr("working directory")), ("root", tr("root directory")), ("exe", "program"))
_PASSED = {errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""What /proc gives for a process that has just ended, one that is not ours to read, and a path beyond 4,096 bytes.
Anything else (no descriptor left) must not look like a version that nobody uses."""


def versions_in(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names of versions that are a whole component of a path in this text, each with the text up to there."""
    if _PREFIX in text:
        for match in _COMPONENT.finditer(text):
            yield match[1].decode(), text[: match.end(1)]


class Ours:
    """The versions that are asked about: device and inode of the directory of each."""

    def __init__(self, versions_dir: Path, names: Collection[str]) -> None:
        self._directory = os.fsencode(versions_dir)
        found = {name: self.identity(name) for name in names}
        self._known = {name: identity for name, identity in found.items() if identity is not None}

    def identity(self, name: str, below: bytes = b"") -> tuple[int, int] | None:
        """Return device and inode of what is there `below` a version ('' or with a leading slash), None for nothing."""
        try:
            info = os.stat(self._directory + b"/" + name.encode() + below, follow_symlinks=False)
        except OSError:
            return None
        return info.st_dev, info.st_ino

    def seen_in(self, text: bytes) -> Iterator[tuple[str, tuple[int, int], bytes]]:
        """Yield name and identity of each of these versions that a text names, with the text up to there."""
        for name, place in versions_in(text):
            if name in self._known:
                yield name, self._known[name], place


class Shown:
    """What one process shows: its directory in /proc, and the place where its paths begin ('' when they are ours)."""

    def __init__(self, directory: str, root: str, ours: Ours) -> None:
        self._directory = directory
        self._root = os.fsencode(root)
        self._ours = ours

    def used(self) -> dict[str, str]:
        """Return the versions that the process is in or has something open of, each with what that is."""
        found: dict[str, str] = {}
        for what, path in self._paths():
            for name, identity, place in self._ours.seen_in(path):
                if name not in found and stands_at(identity, place, self._root):
                    found[name] = what
        return found

    def mounted(self) -> dict[str, str]:
        """Return the versions that a mount shows or lies in, each with the mount point.

        The kernel tells of each mount which directory of its file system it shows (proc_pid_mountinfo(5)): also when it
        was mounted by way of a link, such as `current-version`, that leads elsewhere by now.
        """
        found: dict[str, str] = {}
        for line in content(f"{self._directory}/mountinfo").splitlines():
            if _PREFIX not in line:
                continue
            shown, point, options = (_unescaped(part) for part in line.split(b" ", 5)[3:])
            names = [
                name for name, identity, place in self._ours.seen_in(point) if stands_at(identity, place, self._root)
            ]
            for name, _, place in self._ours.seen_in(shown):
                there = self._ours.identity(name, shown[len(place) :])
                if there is None or stands_at(there, point, self._root):
                    names.append(name)
            # The layers of an overlay: nothing tells where they are for us.
            names += [name for name, _, _ in self._ours.seen_in(options)]
            found |= dict.fromkeys(names, os.fsdecode(point))
        return found

    def _paths(self) -> Iterator[tuple[str, bytes]]:
        for name, what in _LINKS:
            yield what, link(f"{self._directory}/{name}")
        try:
            descriptors = os.listdir(f"{self._directory}/fd")
        except OSError as error:
            _pass_over(error)
            descriptors = []
        for name in descriptors:
            yield tr("open file"), link(f"{self._directory}/fd/{name}")
        for line in content(f"{self._directory}/maps").splitlines():
            if _PREFIX in line:
                yield tr("mapped file"), line[line.index(b"/") :]


def stands_at(identity: tuple[int, int], path: bytes, root: bytes = b"") -> bool:
    """Tell whether the directory of this device and inode is what stands at a path below root; True in doubt."""
    try:
        info = os.stat(root + path)
    except FileNotFoundError:
        # Removed with all that was in it; or a path that begins elsewhere (chroot in another namespace).
        return root != b""
    except OSError:
        return True
    # Another device may be an overlay of ours.
    return (info.st_dev, info.st_ino) == identity or info.st_dev != identity[0]


def link(path: str) -> bytes:
    """Read a link in /proc; empty when it is gone or not ours to read."""
    try:
        return os.readlink(path.encode())
    except OSError as error:
        _pass_over(error)
        return b""


def content(path: str) -> bytes:
    """Read a file in /proc; empty when it is gone or not ours to read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        _pass_over(error)
        return b""


def _pass_over(error: OSError) -> None:
    if error.errno not in _PASSED:
        raise error


def _unescaped(text: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), text)
