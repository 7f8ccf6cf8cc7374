"""The work dir: emptied, given a repository without credentials, lent to the build's user, taken back."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.errors import BuildError, SourceError
from govma_core.fs import claims, safefs, trees
from govma_core.text.language import tr

ROLE = "work-dir"
"""The name of its claim (see fs/claims.py)."""

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

_WITH_USER = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/]*@)?([^?#]*)", re.IGNORECASE)


def preflight(path: Path, state_dir: Path) -> list[str]:
    """Return a sentence when the work dir cannot be made, or holds what is no former build's and would be emptied."""
    if path.is_symlink():
        return [
            tr(
                "work_dir ({path}) is a link. It is emptied at each deploy: set GOV_MA_WORK_DIR to the real directory.",
                path=path,
            )
        ]
    if path.exists() and not path.is_dir():
        return [tr("work_dir ({path}) is a file. Move it away, or set GOV_MA_WORK_DIR.", path=path)]
    if path.is_dir() and os.geteuid() not in (0, path.stat().st_uid):
        return [
            tr(
                "work_dir ({path}) belongs to uid {st_uid}, from a run of that user. Run as that user, or remove it.",
                path=path,
                st_uid=path.stat().st_uid,
            )
        ]
    if path.is_dir() and not _ours(path, state_dir):
        return [
            tr(
                "work_dir ({path}) is emptied at each deploy, and what is in it does not look like a "
                "former build: {listdir}. Set GOV_MA_WORK_DIR to a directory of its own, or empty it.",
                path=path,
                listdir=", ".join(sorted(os.listdir(path))[:3]),
            )
        ]
    return []


def _ours(path: Path, state_dir: Path) -> bool:
    """Tell whether the directory is empty, was our work dir before, or holds a checkout or what is left of one."""
    if not os.listdir(path) or any((path / name).is_dir() for name in (".git", "data")):
        return True
    return claims.is_noted(path, state_dir, ROLE)


@contextmanager
def emptied(path: Path, state_dir: Path) -> Iterator[int]:
    """Yield the opened work dir, made if need be, empty, ours and closed to all other users.

    That it is ours is noted in state_dir: when we are killed in the middle of emptying it, the next run goes on.
    """
    with safefs.opened_root(path.parent) as parent:
        if not safefs.is_directory(parent, path.name):
            os.mkdir(path.name, 0o700, dir_fd=parent)
        claims.claim(path, state_dir, ROLE)
        with safefs.opened(parent, path.name) as fd:
            take_back(fd)
            for entry in safefs.entries(fd):
                trees.remove(fd, entry.name)
            yield fd


def copy_repository(work_fd: int, git_dir: Path, owner: tuple[int, int] | None, step: Callable[[], None]) -> None:
    """Copy a git directory to the `.git` that is there, its index left out; entries belong to `owner`.

    Of git's configuration the copy has only what the build's user may see. SourceError when git cannot read that.
    `step` is called once a directory, and may raise.
    """
    with safefs.opened_root(git_dir) as source, safefs.opened(work_fd, ".git") as copy:
        trees.TreeCopier(owner, step).copy_into(source, copy, skip=frozenset({"index"}))
        if owner is not None:
            os.fchown(copy, *owner)
        os.fchmod(copy, 0o755)
        _remove_credentials(copy, owner)


def lend(work_fd: int, owner: tuple[int, int] | None) -> None:
    """Open the work dir to the build's user, from the moment everything is in it."""
    if owner is not None:
        os.fchown(work_fd, *owner)
    os.fchmod(work_fd, 0o755)


def take_back(work_fd: int) -> None:
    """Close the work dir to all other users: they do not enter it by name any more."""
    safefs.close_to_others(work_fd)


def require_parts(data_fd: int) -> None:
    """Raise BuildError when the build took away what a version cannot be without."""
    for name in ("html", "system"):
        if not safefs.is_directory(data_fd, name):
            raise BuildError(
                "The build left no directory data/{name}. Look at the build's commands and its log.", name=name
            )


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
