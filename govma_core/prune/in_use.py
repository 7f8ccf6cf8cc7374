"""Which versions are in use on this machine: by processes, as /proc shows them, and by mounts.

What belongs to other users is seen by root only.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from govma_core.process.proc import lineage
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.store import OURS, POINTER, PREFIX

_PREFIX = PREFIX.encode()
# In links, maps and mounts alike: a component ends with a slash, the text, white space (" (deleted)" too), or with what
# separates the layers of an overlay.
_COMPONENT = re.compile(rb"/(" + _PREFIX + rb"[0-9hms-]+)(?=[/\s:,]|$)")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_LINKS = (("cwd", tr("working directory")), ("root", tr("root directory")), ("exe", "program"))
_PASSED = {errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""What /proc gives for a process that has just ended, one that is not ours to read, and a path beyond 4,096 bytes.
Anything else (no descriptor left) must not look like a version that is not in use."""


def versions_in(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the names of versions that are a whole component of a path in this text, each with the text up to there."""
    if _PREFIX in text:
        for match in _COMPONENT.finditer(text):
            yield match[1].decode(), text[: match.end(1)]


class Identities:
    """Device and inode of the directory of each version that is asked about."""

    def __init__(self, versions_dir: Path, names: Collection[str]) -> None:
        self._directory = os.fsencode(versions_dir)
        present = {name: self.identity(name) for name in names}
        self._known = {name: identity for name, identity in present.items() if identity is not None}

    def identity(self, name: str, below: bytes = b"") -> tuple[int, int] | None:
        """Return device and inode of what is there `below` a version ('' or with a leading slash), None for nothing."""
        try:
            info = os.stat(self._directory + b"/" + name.encode() + below, follow_symlinks=False)
        except OSError:
            return None
        return info.st_dev, info.st_ino

    def in_text(self, text: bytes) -> Iterator[tuple[str, tuple[int, int], bytes]]:
        """Yield name and identity of each of these versions that a text names, with the text up to there."""
        for name, place in versions_in(text):
            if name in self._known:
                yield name, self._known[name], place


class ProcessPaths:
    """What one process shows: its directory in /proc, and the place where its paths begin ('' for this machine's)."""

    def __init__(self, directory: str, root: str, identities: Identities) -> None:
        self._directory = directory
        self._root = os.fsencode(root)
        self._identities = identities

    def used(self) -> dict[str, str]:
        """Return the versions that the process is in or has something open of, each with what that is."""
        uses: dict[str, str] = {}
        for what, path in self._paths():
            for name, identity, place in self._identities.in_text(path):
                if name not in uses and stands_at(identity, place, self._root):
                    uses[name] = what
        return uses

    def mounted(self) -> dict[str, str]:
        """Return the versions that a mount shows or lies in, each with the mount point.

        The kernel tells of each mount which directory of its file system it shows (proc_pid_mountinfo(5)): also when it
        was mounted by way of a link, such as `current-version`, that leads elsewhere by now.
        """
        mount_points: dict[str, str] = {}
        for line in content(f"{self._directory}/mountinfo").splitlines():
            if _PREFIX not in line:
                continue
            source, point, options = (_unescaped(part) for part in line.split(b" ", 5)[3:])
            names = [
                name
                for name, identity, place in self._identities.in_text(point)
                if stands_at(identity, place, self._root)
            ]
            for name, _, place in self._identities.in_text(source):
                there = self._identities.identity(name, source[len(place) :])
                if there is None or stands_at(there, point, self._root):
                    names.append(name)
            # The layers of an overlay: nothing tells where they are for us.
            names += [name for name, _, _ in self._identities.in_text(options)]
            mount_points |= dict.fromkeys(names, os.fsdecode(point))
        return mount_points

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


Uses = dict[str, list[str]]
"""By version: who uses it, each as a piece of a sentence, such as `php (pid 42): open file`."""

_TOOL = (b"govma-console", b"govma_console", b"govma_core.runs.runner")


def in_use(versions_dir: Path, names: Collection[str], proc: str = "/proc") -> Uses:
    """Return which of these versions are used, and by whom.

    Ourselves and our parents don't count (an operator may stand in a version and prune from there), nor do consoles of
    this program, which only look. Processes that end meanwhile are passed over.
    """
    uses: Uses = {}
    identities = Identities(versions_dir, names)
    own = {process.pid for process in lineage(os.getpid())}
    home = link(f"{proc}/self/ns/mnt")
    spaces = {b""}
    # Our own pid first: each mount namespace is looked at once, and ours as we see it.
    for pid in (os.getpid(), *(int(name) for name in os.listdir(proc) if name.isdigit())):
        directory = f"{proc}/{pid}"
        space = link(f"{directory}/ns/mnt")
        process = ProcessPaths(directory, "" if space == home else f"{directory}/root", identities)
        if space not in spaces:
            spaces.add(space)
            where = "" if space == home else tr(" in the namespace of {called}", called=_called(directory))
            _note(
                uses,
                {
                    name: tr("a mount at {point}{where}", point=point, where=where)
                    for name, point in process.mounted().items()
                },
            )
        if pid not in own and not _is_console(directory):
            _note(uses, {name: f"{_called(directory)}: {what}" for name, what in process.used().items()})
    return uses


def on_paths(versions_dir: Path, names: Collection[str], paths: Iterable[str]) -> set[str]:
    """Return which of these versions a path of this machine leads to or into."""
    identities = Identities(versions_dir, names)
    hits = [hit for path in paths for hit in identities.in_text(os.fsencode(path))]
    return {name for name, identity, place in hits if stands_at(identity, place)}


def linked(versions_dir: Path, names: Collection[str]) -> dict[str, list[str]]:
    """Return by version the links of people's own beside the versions that lead to it or into it."""
    links_by_version: dict[str, list[str]] = {}
    with os.scandir(versions_dir) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    for name in links:
        if name == POINTER or OURS.fullmatch(name):
            continue
        with suppress(FileNotFoundError):
            for part in set(Path(os.path.normpath(os.readlink(versions_dir / name))).parts) & set(names):
                links_by_version.setdefault(part, []).append(clean_line(name))
    return links_by_version


def _note(uses: Uses, new_uses: dict[str, str]) -> None:
    for name, who in new_uses.items():
        uses.setdefault(name, []).append(who)


def _called(directory: str) -> str:
    # The owner of the process chose its name.
    name = clean_line(content(f"{directory}/comm").decode("utf-8", "replace").strip())
    return tr("{name} (pid {rpartition})", name=name or tr("a process"), rpartition=directory.rpartition("/")[2])


def _is_console(directory: str) -> bool:
    words: Iterable[bytes] = content(f"{directory}/cmdline").split(b"\0")[:5]
    return any(word.rpartition(b"/")[2] in _TOOL for word in words)
