"""Git's configuration in the copy of a checkout that a build gets: without anything that is secret, or leads to it.

A remote's URL with a token in it, also where git logs commands, `http.extraHeader`, a credential helper: what scripts
from npm could read there, they could send away.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator

from govma_core import safefs, safetree
from govma_core.errors import SourceError
from govma_core.language import tr

_FILES = ("config", "config.worktree")
_FOLDERS = ("modules", "worktrees")
"""Folders of a git directory in which there are others, each with a configuration of its own."""

_LEFT_OUT = ("logs", "FETCH_HEAD")
"""What quotes the commands that were given, or the URLs: `pull https://user:token@…`."""

_KEPT = re.compile(
    r"core\.(?!sshcommand|askpass|gitproxy)\w+|extensions\.\w+|remote\..+\.(url|fetch)|branch\..+\.(remote|merge)",
    re.DOTALL,
)
_WITH_USER = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/]*@)?([^?#]*)", re.IGNORECASE)


def clean(tree_fd: int, owner: tuple[int, int] | None) -> None:
    """Leave of the git directory in a tree that is ours alone, if it has one, the configuration that may be seen.

    SourceError when git cannot read it.
    """
    if safefs.is_directory(tree_fd, ".git"):
        with safefs.opened(tree_fd, ".git") as git:
            _clean(git, owner)


def _clean(git: int, owner: tuple[int, int] | None) -> None:
    for name in _FILES:
        found = safefs.lstat(git, name)
        # A link leads to what was not copied: the build reads it with its own rights, if at all.
        if found is not None and stat.S_ISREG(found.st_mode):
            _replace(git, name, "".join(_lines(_read(git, name))), owner)
    for name in _LEFT_OUT:
        safetree.remove(git, name)
    for folder in _FOLDERS:
        if safefs.is_directory(git, folder):
            with safefs.opened(git, folder) as inside:
                _clean_below(inside, owner)


def _clean_below(fd: int, owner: tuple[int, int] | None) -> None:
    for entry in safefs.entries(fd):
        if entry.is_dir(follow_symlinks=False):
            with safefs.opened(fd, entry.name) as child:
                # The name of a module may be a path.
                (_clean if safefs.lstat(child, "HEAD") else _clean_below)(child, owner)


def _read(git: int, name: str) -> str:
    file, _ = safefs.open_regular(git, name)
    try:
        command = ["git", "config", "--file", "-", "--no-includes", "--list", "-z"]
        done = subprocess.run(command, stdin=file, capture_output=True, check=False)
    finally:
        os.close(file)
    if done.returncode != 0:
        raise SourceError(
            tr("The checkout's .git/{name} cannot be read. `git config --list` there says more.", name=name)
        )
    return done.stdout.decode("utf-8", "surrogateescape")


def _lines(listed: str) -> Iterator[str]:
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        if not _KEPT.fullmatch(key):
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


def _replace(git: int, name: str, text: str, owner: tuple[int, int] | None) -> None:
    os.unlink(name, dir_fd=git)
    with os.fdopen(os.open(name, safefs.CREATE_FLAGS, 0o644, dir_fd=git), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        if owner is not None:
            os.fchown(file.fileno(), *owner)
