"""The build's copy of the checkout's repository: without credentials."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from govma_core.errors import SourceError
from govma_core.fs import safefs, trees

_CONFIGURATIONS = ("config", "config.worktree")
_GIT_DIRECTORIES = ("modules", "worktrees")
"""Folders of a git directory in which there are others, each with a configuration of its own."""

_RECORDS = ("logs", "FETCH_HEAD")
"""What quotes commands or URLs: `pull https://user:token@…`."""

_HARMLESS = re.compile(
    r"core\.(?!sshcommand|askpass|gitproxy|bare|worktree)\w+|extensions\.\w+|remote\..+\.(url|fetch)|branch\..+\.(remote|merge)",
    re.DOTALL,
)
"""Settings of git that the build's user may see, and that are as true of the copy."""

_OBJECTS = re.compile(r"(.*/)?\.git/(modules/.+/)?objects(/|$)")
_WITH_USER = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/]*@)?([^?#]*)", re.IGNORECASE)


def copy_repository(work_fd: int, git_dir: Path, owner: tuple[int, int] | None, step: Callable[[], None]) -> None:
    """Copy a git directory to the `.git` that is there, its index left out; entries belong to `owner`.

    Of git's configuration the copy has only what the build's user may see. SourceError when git cannot read that.
    `step` is called once a directory, and may raise.
    """
    with safefs.opened_root(git_dir) as source, safefs.opened(work_fd, ".git") as copy:
        RepositoryCopier(owner, step).copy_into(source, copy, skip=frozenset({"index"}), shown_path=".git")
        if owner is not None:
            os.fchown(copy, *owner)
        os.fchmod(copy, 0o755)
        _remove_credentials(copy, owner)


class RepositoryCopier(trees.TreeCopier):
    """Copies a tree; of a repository in it the objects are linked, where the new owner cannot write them.

    Git never writes an object again, and they may be the most of a tree.
    """

    _in_objects = False

    def copy_into(self, src_fd: int, dst_fd: int, *, skip: frozenset[str] = frozenset(), shown_path: str = "") -> None:
        """Copy what is in a directory; see TreeCopier."""
        before, self._in_objects = self._in_objects, _OBJECTS.match(shown_path) is not None
        super().copy_into(src_fd, dst_fd, skip=skip, shown_path=shown_path)
        self._in_objects = before

    def copy_file(self, src_dir: int, dst_dir: int, name: str) -> None:
        """Copy, or link, one regular file."""
        info = os.stat(name, dir_fd=src_dir, follow_symlinks=False)
        is_readable = info.st_mode & 0o004 and not info.st_mode & 0o022
        if self._in_objects and is_readable and self._owner is not None and info.st_uid != self._owner[0]:
            with suppress(OSError):
                os.link(name, name, src_dir_fd=src_dir, dst_dir_fd=dst_dir, follow_symlinks=False)
                return
        super().copy_file(src_dir, dst_dir, name)


def _remove_credentials(git_fd: int, owner: tuple[int, int] | None) -> None:
    """Leave of a copied git directory what the build's user may see; SourceError when git cannot read it."""
    _clean(git_fd, owner)
    for folder in _GIT_DIRECTORIES:
        if safefs.is_directory(git_fd, folder):
            with safefs.opened(git_fd, folder) as inside:
                _clean_all_below(inside, owner)


def _clean_all_below(fd: int, owner: tuple[int, int] | None) -> None:
    # The name of a module, which a commit chooses, is a path, and may lead into the git directory of another module.
    if safefs.lstat(fd, "HEAD") and any(safefs.lstat(fd, name) for name in ("objects", "commondir")):
        _clean(fd, owner)
    for entry in safefs.entries(fd):
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as child:
                _clean_all_below(child, owner)


def _clean(git_fd: int, owner: tuple[int, int] | None) -> None:
    for name in _CONFIGURATIONS:
        info = safefs.lstat(git_fd, name)
        # A link leads to what was not copied: the build reads it with its own rights, if at all.
        if info is not None and stat.S_ISREG(info.st_mode):
            harmless = "".join(_harmless_lines(_list_settings(git_fd, name)))
            replace_file(git_fd, name, harmless, owner)
    for name in _RECORDS:
        trees.remove(git_fd, name)


def _list_settings(git_fd: int, name: str) -> str:
    file, _ = safefs.open_regular(git_fd, name)
    try:
        command = ["git", "config", "--file", "-", "--no-includes", "--list", "-z"]
        result = subprocess.run(command, stdin=file, capture_output=True, check=False)
    finally:
        os.close(file)
    if result.returncode != 0:
        raise SourceError("The checkout's .git/{name} cannot be read. `git config --list` there says more.", name=name)
    return result.stdout.decode("utf-8", "surrogateescape")


def _harmless_lines(settings: str) -> Iterator[str]:
    """Yield the lines of a configuration; of the settings, as `git config --list -z` prints them, the harmless ones."""
    for entry in settings.split("\0"):
        key, _, value = entry.partition("\n")
        if not _HARMLESS.fullmatch(key):
            continue
        section, _, rest = key.partition(".")
        inner, _, variable = rest.rpartition(".")
        if "://" in inner:
            # `git fetch --filter=… URL` makes a section of that name.
            continue
        if variable in ("url", "remote"):
            value = without_user(value)
        yield f"[{section} {_quoted(inner)}]\n" if inner else f"[{section}]\n"
        yield f"\t{variable} = {_quoted(value)}\n" if "\n" in entry else f"\t{variable}\n"


def without_user(url: str) -> str:
    """Return a remote's URL without a user, a password or what follows a question mark; a path as it is."""
    match = _WITH_USER.match(url)
    return match[1] + match[2] if match else url


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def replace_file(dir_fd: int, name: str, text: str, owner: tuple[int, int] | None) -> None:
    """Write a file, in place of the one of its name; it belongs to `owner`."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=dir_fd)
    with os.fdopen(os.open(name, safefs.CREATE_FLAGS, 0o644, dir_fd=dir_fd), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        if owner is not None:
            os.fchown(file.fileno(), *owner)
