"""Moves of the checkout between commits: what a power cut interrupts is put right before the next one.

Git puts its objects, references and index on the disk at once (see govma_core.git), but not the files that it
checks out: after a power cut the index may tell of files that are empty. A note is on the disk before a move begins,
and until its files are. What the next run finds changed then, in files that the move was about, and with the content
that it brought or a part of that, is checked out again. Anything else is somebody's, and stays.
"""

from __future__ import annotations

import io
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from govma_core.errors import UnsafeTreeError
from govma_core.fs import jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.language import tr

_NOTE = "checkout-move.json"
_AT_ONCE = 200
_BLOCK = 1 << 18
_LOCKED = ("index", "HEAD", "packed-refs", "shallow", "config")
DEPLOYED = "refs/govma-console/deployed"
"""What a checkout is at while another ref than the branch is deployed."""


class Moves:
    """The moves of the checkout in source_dir. Only under the lock."""

    def __init__(self, settings: Settings, git: GitCommands, reporter: Reporter) -> None:
        self._settings = settings
        self._git = git
        self._reporter = reporter
        self._note = settings.state_dir / _NOTE

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Have the note of a move on the disk for the block, which may move the checkout. It stays when that fails."""
        before = self._head()
        jsonfile.replace(self._note, {"head": before})
        yield
        if self._head() != before:
            with safefs.opened_root(self._settings.source_dir) as fd:
                safefs.syncfs(fd)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Put right what an interrupted move left. SourceError where git cannot."""
        self._remove_locks()
        note = jsonfile.read(self._note)
        if note is None:
            return
        ours = self._about(str(note.get("head", "")))
        self._restore_index()
        put = [path for path, commits in self._changed(ours) if self._is_ours(path, commits)]
        self._check_out(put)
        if put:
            self._reporter.warning(
                tr(
                    "The machine stopped while the checkout was moved to another commit. Files restored: {count}.",
                    count=len(put),
                )
            )
        with safefs.opened_root(self._settings.source_dir) as fd:
            safefs.syncfs(fd)
        self._note.unlink(missing_ok=True)

    def _head(self) -> str:
        return self._git.run("rev-parse", "HEAD").strip()

    def _remove_locks(self) -> None:
        """Remove git's locks that are older than the machine's boot: who had made them is gone."""
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        directory = Path(self._git.repo.git_dir)
        for path in (*(directory / f"{name}.lock" for name in _LOCKED), *directory.glob("refs/**/*.lock")):
            with suppress(FileNotFoundError):
                if path.lstat().st_mtime < booted:
                    path.unlink()

    def _about(self, before: str) -> dict[str, set[str]]:
        """Return the commits between which the checkout may have been moved, for each file that differs in them."""
        settings = self._settings
        names = [
            before,
            "HEAD",
            f"refs/heads/{settings.branch}",
            f"refs/remotes/{settings.remote}/{settings.branch}",
            DEPLOYED,
        ]
        commits = []
        for name in names:
            if sha := self._git.sha(name):
                commits.append(sha)
        found: dict[str, set[str]] = {}
        for other in set(commits[1:]) - {commits[0]}:
            for path in self._listed("diff", "--name-only", "--no-renames", "-z", commits[0], other):
                found.setdefault(path, {commits[0]}).add(other)
        return found

    def _restore_index(self) -> None:
        """Have git make the index anew: it holds nothing of anybody's, as the checkout was clean."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self._git.repo.git_dir, "index"))
        self._git.run("reset", "--quiet", "--mixed")

    def _changed(self, ours: dict[str, set[str]]) -> Iterator[tuple[str, set[str]]]:
        for entry in self._listed("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"):
            if entry[3:] in ours:
                yield entry[3:], ours[entry[3:]]

    def _is_ours(self, path: str, commits: set[str]) -> bool:
        """Tell whether a file is gone, or has what one of the commits has in it, as far as it came to the disk."""
        try:
            with self._folder(path) as (folder, name), _content(folder, name) as there:
                return any(self._is_part(there, commit, path) for commit in commits)
        except FileNotFoundError:
            return True
        except (UnsafeTreeError, OSError):
            return False

    @contextmanager
    def _folder(self, path: str) -> Iterator[tuple[int, str]]:
        """Open the directory of a file of the checkout, which no link may lead out of; give it with the file's name."""
        *folders, name = path.split("/")
        with safefs.opened_root(self._settings.source_dir) as root, safefs.opened(root, *folders) as folder:
            yield folder, name

    def _is_part(self, there: IO[bytes], commit: str, path: str) -> bool:
        with tempfile.TemporaryFile() as whole:
            with suppress(GitFailedError):
                self._git.run_into(whole, "cat-file", "--filters", f"{commit}:{path}")
            whole.seek(0)
            there.seek(0)
            while block := there.read(_BLOCK):
                wanted = whole.read(_BLOCK)
                if wanted[: len(block)] != block:
                    rest = iter(lambda: there.read(_BLOCK), b"")
                    # What was not written reads as zeros.
                    return wanted.startswith(block.rstrip(b"\0")) and not any(each.strip(b"\0") for each in rest)
            return True

    def _check_out(self, paths: Sequence[str]) -> None:
        tracked = set(self._listed("ls-files", "-z")) if paths else set()
        for path in paths:
            if path not in tracked:
                with suppress(FileNotFoundError), self._folder(path) as (folder, name):
                    os.unlink(name, dir_fd=folder)
        wanted = [path for path in paths if path in tracked]
        for start in range(0, len(wanted), _AT_ONCE):
            self._git.run("checkout-index", "--force", "--quiet", "-u", "--", *wanted[start : start + _AT_ONCE])

    def _listed(self, *arguments: str) -> list[str]:
        return [entry for entry in self._git.run(*arguments).split("\0") if entry]


def _content(folder: int, name: str) -> IO[bytes]:
    """Open a regular file, or what a link says; UnsafeTreeError for anything else."""
    info = safefs.lstat(folder, name)
    if info is not None and stat.S_ISLNK(info.st_mode):
        return io.BytesIO(os.fsencode(os.readlink(name, dir_fd=folder)))
    fd, _ = safefs.open_regular(folder, name)
    return open(fd, "rb")
