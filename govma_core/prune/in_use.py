"""Which versions this machine uses: by processes and mounts, as /proc shows them, and by links that lead to them.

Only root can see what the processes of other users have open.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from govma_core.fs import safefs
from govma_core.process.proc import lineage
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.store import OURS, POINTER, PREFIX

Uses = dict[str, list[str]]
"""By version: what uses it, each as a piece of a sentence, such as `php (pid 42): open file`."""

_OWN_PROGRAMS = (b"govma-console", b"govma_console", b"govma_core.runs.runner")
_LINKS = (("cwd", tr("working directory")), ("root", tr("root directory")), ("exe", "program"))
_PREFIX = PREFIX.encode()
# In links, maps and mounts alike: a component ends with a slash, the text, white space (" (deleted)" too), or with what
# separates the layers of an overlay.
_COMPONENT = re.compile(rb"/(" + _PREFIX + rb"[0-9hms-]+)(?=[/\s:,]|$)")
_OCTAL = re.compile(rb"\\([0-7]{3})")
_IGNORABLE = {errno.ENOENT, errno.ESRCH, errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}
"""Errors of /proc for a process that has just ended, one that this user may not read, and a path beyond 4,096 bytes.
Any other error (no descriptor free) must not make a version look unused."""

_ONE_DEVICE = frozenset((b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"zfs", b"f2fs", b"tmpfs", b"ramfs"))
"""Types of file systems that show each of their directories under one device, and none of another file system.

An overlay, say, shows the directories of its layers, under a device of its own.
"""


def in_use(versions_dir: Path, names: Collection[str]) -> Uses:
    """Return which of these versions are used, and by which processes and mounts.

    This process and its parents don't count (an operator may stand in a version and prune from there), nor do other
    processes of this program, which only read. Processes that end meanwhile are passed over.
    """
    uses: Uses = {}
    versions = _Versions(versions_dir, names)
    own_pids = {process.pid for process in lineage(os.getpid())}
    own_namespace = _read_link("/proc/self/ns/mnt")
    scanned_namespaces = {b""}
    # This process first: each mount namespace is scanned once, and the own one by the paths that are valid here.
    for pid in (os.getpid(), *(int(name) for name in os.listdir("/proc") if name.isdigit())):
        directory = f"/proc/{pid}"
        namespace = _read_link(f"{directory}/ns/mnt")
        process = _ProcessView(directory, "" if namespace == own_namespace else f"{directory}/root", versions)
        if namespace not in scanned_namespaces:
            scanned_namespaces.add(namespace)
            where = (
                ""
                if namespace == own_namespace
                else tr(" in the namespace of {called}", called=_process_name(directory))
            )
            for name, point in process.mount_points().items():
                uses.setdefault(name, []).append(tr("a mount at {point}{where}", point=point, where=where))
        if pid not in own_pids and not _is_own_program(directory):
            for name, kind in process.open_paths().items():
                uses.setdefault(name, []).append(f"{_process_name(directory)}: {kind}")
    return uses


def versions_on_paths(versions_dir: Path, names: Collection[str], paths: Iterable[str]) -> set[str]:
    """Return those of these versions to which or into which one of the paths of this machine leads."""
    versions = _Versions(versions_dir, names)
    mentions = [mention for path in paths for mention in versions.mentioned_in(os.fsencode(path))]
    return {name for name, inode, path in mentions if versions.is_at(inode, path)}


def links_to_versions(versions_dir: Path, names: Collection[str]) -> dict[str, list[str]]:
    """Return by version the links of the operator's own, beside the versions, that lead to it or into it."""
    links_by_version: dict[str, list[str]] = {}
    with os.scandir(versions_dir) as entries:
        links = sorted(entry.name for entry in entries if entry.is_symlink())
    for link in links:
        if link == POINTER or OURS.fullmatch(link):
            continue
        with suppress(FileNotFoundError):
            for name in set(Path(os.path.normpath(os.readlink(versions_dir / link))).parts) & set(names):
                links_by_version.setdefault(name, []).append(clean_line(link))
    return links_by_version


class _Versions:
    """The versions to look for, each with the device and inode number of its directory."""

    def __init__(self, versions_dir: Path, names: Collection[str]) -> None:
        self._directory = os.fsencode(versions_dir)
        with safefs.opened_root(versions_dir) as fd:
            self._has_one_device = _has_one_device(fd, "/proc/self")
        inodes = {name: self.inode(name) for name in names}
        self._inodes = {name: inode for name, inode in inodes.items() if inode is not None}

    def inode(self, name: str, below: bytes = b"") -> tuple[int, int] | None:
        """Return device and inode of a version, or of a path `below` it (with a leading slash); None for nothing."""
        try:
            info = os.stat(self._directory + b"/" + name.encode() + below, follow_symlinks=False)
        except OSError:
            return None
        return info.st_dev, info.st_ino

    def mentioned_in(self, text: bytes) -> Iterator[tuple[str, tuple[int, int], bytes]]:
        """Yield name and inode of each of the versions that a text names, with the text up to the name's end."""
        for name, path in versions_in(text):
            if name in self._inodes:
                yield name, self._inodes[name], path

    def is_at(self, inode: tuple[int, int], path: bytes, process: str = "/proc/self", root: bytes = b"") -> bool:
        """Tell whether the directory of this device and inode is at a path below a process's root; True in doubt."""
        try:
            fd = os.open(root + path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            # Removed with all that was in it; or a path that begins elsewhere (chroot in another namespace).
            return root != b""
        except OSError:
            return True
        try:
            info = os.fstat(fd)
            if info.st_dev == inode[0]:
                return info.st_ino == inode[1]
            return not (self._has_one_device and _has_one_device(fd, process))
        finally:
            os.close(fd)


def versions_in(text: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the versions whose name is a whole component of a path in a text, each with the text up to its end."""
    if _PREFIX in text:
        for match in _COMPONENT.finditer(text):
            yield match[1].decode(), text[: match.end(1)]


class _ProcessView:
    """One process by its directory in /proc. Its paths begin at `root` ('' when it shares our mount namespace)."""

    def __init__(self, directory: str, root: str, versions: _Versions) -> None:
        self._directory = directory
        self._root = os.fsencode(root)
        self._versions = versions

    def open_paths(self) -> dict[str, str]:
        """Return the versions in which the process works or has a file open, each with the kind of use."""
        uses: dict[str, str] = {}
        for kind, text in self._paths():
            for name, inode, path in self._versions.mentioned_in(text):
                if name not in uses and self._is_at(inode, path):
                    uses[name] = kind
        return uses

    def mount_points(self) -> dict[str, str]:
        """Return the versions that are mounted somewhere or have a mount inside, each with the mount point.

        For each mount the kernel names the directory of its file system that it shows (proc_pid_mountinfo(5)): also
        when it was mounted by way of a link, such as `current-version`, that leads elsewhere by now.
        """
        points: dict[str, str] = {}
        for line in _read_file(f"{self._directory}/mountinfo").splitlines():
            if _PREFIX not in line:
                continue
            mount, _, _, source, point, options = (_unescape(part) for part in line.split(b" ", 5))
            names = [name for name, inode, path in self._versions.mentioned_in(point) if self._is_at(inode, path)]
            for name, _, path in self._versions.mentioned_in(source):
                inode = self._versions.inode(name, source[len(path) :])
                if inode is None or self._is_at(inode, point) or self._is_covered(mount, point):
                    names.append(name)
            # The layers of an overlay: /proc does not say in which namespace these paths are.
            names += [name for name, _, _ in self._versions.mentioned_in(options)]
            points |= dict.fromkeys(names, os.fsdecode(point))
        return points

    def _is_at(self, inode: tuple[int, int], path: bytes) -> bool:
        return self._versions.is_at(inode, path, self._directory, self._root)

    def _is_covered(self, mount: bytes, point: bytes) -> bool:
        """Tell whether another mount is what is at a mount point: over this one, or over a directory above."""
        try:
            fd = os.open(self._root + point, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            return safefs.mount_of(fd) != mount
        finally:
            os.close(fd)

    def _paths(self) -> Iterator[tuple[str, bytes]]:
        """Yield the kind and the path of all that the process has open."""
        for name, kind in _LINKS:
            yield kind, _read_link(f"{self._directory}/{name}")
        try:
            descriptors = os.listdir(f"{self._directory}/fd")
        except OSError as error:
            _ignore_or_raise(error)
            descriptors = []
        for name in descriptors:
            yield tr("open file"), _read_link(f"{self._directory}/fd/{name}")
        for line in _read_file(f"{self._directory}/maps").splitlines():
            if _PREFIX in line:
                yield tr("mapped file"), line[line.index(b"/") :]


def _has_one_device(fd: int, process: str) -> bool:
    """Tell whether all of the file system of a file, on a mount that `process` sees, is on one device."""
    mount = safefs.mount_of(fd)
    for line in _read_file(f"{process}/mountinfo").splitlines():
        number, _, rest = line.partition(b" ")
        if number == mount:
            return rest.partition(b" - ")[2].split(b" ", 1)[0] in _ONE_DEVICE
    return False


def _process_name(directory: str) -> str:
    # The owner of the process chose its name: it may hold anything.
    name = clean_line(_read_file(f"{directory}/comm").decode("utf-8", "replace").strip())
    return tr("{name} (pid {rpartition})", name=name or tr("a process"), rpartition=directory.rpartition("/")[2])


def _is_own_program(directory: str) -> bool:
    words: Iterable[bytes] = _read_file(f"{directory}/cmdline").split(b"\0")[:5]
    return any(word.rpartition(b"/")[2] in _OWN_PROGRAMS for word in words)


def _read_link(path: str) -> bytes:
    """Read a link in /proc; empty when it is gone or this user may not read it."""
    try:
        return os.readlink(path.encode())
    except OSError as error:
        _ignore_or_raise(error)
        return b""


def _read_file(path: str) -> bytes:
    """Read a file in /proc; empty when it is gone or this user may not read it."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        _ignore_or_raise(error)
        return b""


def _ignore_or_raise(error: OSError) -> None:
    if error.errno not in _IGNORABLE:
        raise error


def _unescape(text: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), text)
