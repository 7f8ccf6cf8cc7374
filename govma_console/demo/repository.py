"""The sample's git repositories: history written in one stream, clones, later commits."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from govma_console.demo.content import AUTHORS, Author, Commit
from govma_console.demo.vendor import mode_of

BRANCH = "main"

# Housekeeping in the background would race with a removal of the sample.
_QUIET = ("gc.auto=0", "maintenance.auto=false", "receive.autogc=false")


class GitFailed(Exception):
    """A git command of the sample failed; carries the command and what it said."""


def git(*arguments: str | Path, cwd: Path, stdin: bytes | None = None, author: Author = AUTHORS[0]) -> str:
    """Run git in the folder with the author's identity and nobody's configuration; give its stdout.

    GitFailed when git is not there or exits with anything but 0.
    """
    command = ["git", *(part for setting in _QUIET for part in ("-c", setting)), *map(str, arguments)]
    try:
        ended = subprocess.run(command, cwd=cwd, env=_environment(author), input=stdin or b"", capture_output=True)
    except FileNotFoundError as error:
        raise GitFailed("the git program was not found; install git") from error
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace")
        raise GitFailed(f"{' '.join(command)} in {cwd} exited {ended.returncode}: {said}")
    return ended.stdout.decode()


def create_remote(remote: Path, commits: Iterable[Commit]) -> None:
    """Make the bare repository with these commits on its one branch."""
    git("init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", remote, cwd=remote.parent)
    for setting in _QUIET:
        git("config", *setting.split("=", 1), cwd=remote)
    # depth 0: no search for deltas between files that have none
    stream = b"".join(_stream(commits))
    git("-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--depth=0", cwd=remote, stdin=stream)


def clone(remote: Path, target: Path) -> None:
    """Clone the remote's branch; the clone carries the first author's identity, for commits by hand."""
    identity = (f"user.name={AUTHORS[0].name}", f"user.email={AUTHORS[0].email}")
    settings = (part for setting in (*identity, *_QUIET) for part in ("-c", setting))
    git("clone", "--quiet", "--template=", "--branch", BRANCH, *settings, remote, target, cwd=remote.parent)


def commit_changes(clone_dir: Path, changes: Mapping[str, str | bytes | None], message: str, *, push: bool) -> str:
    """Write (or remove, where None) the files in the clone, commit them, push when asked to; give the sha.

    Files that git ignores are committed as well. ValueError for a path that leaves the clone or enters `.git`;
    FileNotFoundError for the removal of a file that is not there.
    """
    for path in changes:
        parts = PurePosixPath(path).parts
        if not parts or parts[0] in ("/", ".git") or ".." in parts:
            raise ValueError(f"{path!r} is not a path of a file in the repository")
    for path, data in changes.items():
        target = clone_dir / path
        if data is None:
            target.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data.encode() if isinstance(data, str) else data)
    if changes:
        names = b"".join(os.fsencode(path) + b"\0" for path in changes)
        add = ("--literal-pathspecs", "add", "--all", "--force", "--pathspec-from-file=-", "--pathspec-file-nul")
        git(*add, cwd=clone_dir, stdin=names)
    git("commit", "--quiet", "--allow-empty", "-m", message, cwd=clone_dir)
    if push:
        git("push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=clone_dir)
    return git("rev-parse", "HEAD", cwd=clone_dir).strip()


def _environment(author: Author) -> dict[str, str]:
    # A GIT_DIR left by a hook, or the user's signing key, must not reach the sample.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return inherited | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": author.name,
        "GIT_COMMITTER_EMAIL": author.email,
        "LC_ALL": "C.UTF-8",
    }


def _stream(commits: Iterable[Commit]) -> Iterable[bytes]:
    for commit in commits:
        person = f"{commit.author.name} <{commit.author.email}> {commit.date}\n"
        message = f"{commit.subject}\n".encode()
        yield f"commit refs/heads/{BRANCH}\nauthor {person}committer {person}data {len(message)}\n".encode()
        yield message
        for path, data in sorted(commit.changes.items()):
            if data is None:
                yield f"D {path}\n".encode()
            else:
                # git knows two kinds of files: executable, or not
                yield f"M {0o100000 | mode_of(path):o} inline {path}\ndata {len(data)}\n".encode()
                yield data
                yield b"\n"
