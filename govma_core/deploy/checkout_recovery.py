"""A checkout that a power cut or a kill caught between two commits is put right by the next run.

Git outlives the run that it works for. What lays out the commit of a killed run in the work dir is ended: it would go
on between the files of the next one.

A note in state_dir tells that the checkout moves. Git puts its objects, references and index on the disk at once (see
govma_core.git), but not the files that it checks out. Nothing is taken from those files, so that they need not be
judged: of the files that the move was about, what differs goes to git's stash, where a person finds what they may have
written meanwhile. Other files stay: the deploy refuses them by name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.building import work_dir
from govma_core.fs import claims, jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.process import proc
from govma_core.reporting import Reporter
from govma_core.settings import Settings

_NOTE = "checkout-move.json"
_LOCKS = ("*.lock", "refs/**/*.lock", "modules/**/*.lock")
_PATIENCE = 10.0
"""Seconds that a killed git may take to be gone."""


@contextmanager
def noted_move(settings: Settings, git: GitCommands, target: str) -> Iterator[None]:
    """Have the note on the disk for the block, which moves the checkout to `target`; it stays when that fails."""
    before = git.sha("HEAD")
    jsonfile.replace(settings.state_dir / _NOTE, {"head": before, "target": target})
    try:
        yield
    except GitFailedError:
        # What git refuses before it begins is a person's.
        if git.sha("HEAD") == before and not git.entries("status", "--porcelain", "-z"):
            _end_move(settings, moved=False)
        raise
    _end_move(settings, moved=git.sha("HEAD") != before)


def _end_move(settings: Settings, *, moved: bool) -> None:
    if moved:
        with safefs.opened_root(settings.source_dir) as fd:
            safefs.syncfs(fd)
    (settings.state_dir / _NOTE).unlink()


def finish_move(settings: Settings, git: GitCommands, reporter: Reporter) -> None:
    """Put right what an interrupted move left; SourceError where git cannot. Only under the lock."""
    if claims.is_noted(settings.work_dir, settings.state_dir, work_dir.ROLE):
        _end_left_behind(settings.work_dir)
    git_dir, note = Path(git.repo.git_dir), jsonfile.read(settings.state_dir / _NOTE)
    _remove_locks(git_dir, settings, was_moving=note is not None)
    if note is None:
        return
    # Made anew, whatever is left of it: the checkout was clean, and nothing of a person's was in it.
    (git_dir / "index").unlink(missing_ok=True)
    git.run("reset", "--quiet", "--mixed")
    # A note of an earlier version of this program names no target.
    former = (f"refs/remotes/{settings.remote}/{settings.branch}", "refs/govma-console/deployed")
    targets = (str(note["target"]),) if "target" in note else former
    _set_aside(settings, git, reporter, [sha for sha in map(git.sha, (str(note.get("head")), *targets)) if sha])
    _end_move(settings, moved=True)


def _set_aside(settings: Settings, git: GitCommands, reporter: Reporter, commits: Sequence[str]) -> None:
    """Put into git's stash what differs of the files that changed between the commits and HEAD."""
    moved = {path for sha in commits for path in git.entries("diff", "--name-only", "--no-renames", "-z", sha, "HEAD")}
    status = git.entries("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    torn = [entry[3:] for entry in status if entry[3:] in moved]
    if torn:
        git.run("--literal-pathspecs", "stash", "push", "--quiet", "--include-untracked", "--", *torn)
        reporter.warning(
            "A move of the checkout to another commit was interrupted. Files put right: {count}. What they were, in "
            "case you had changed them: `git stash show -p -u` in {source_dir}.",
            count=len(torn),
            source_dir=settings.source_dir,
        )


def _remove_locks(git_dir: Path, settings: Settings, *, was_moving: bool) -> None:
    """Remove git's locks that are older than the boot, or of an interrupted move: who had made them is gone."""
    deadline = time.monotonic() + settings.git_timeout
    while was_moving and (is_busy := _git_works_in(settings.source_dir)) and time.monotonic() < deadline:
        time.sleep(0.1)
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in (path for pattern in _LOCKS for path in git_dir.glob(pattern)):
        with suppress(FileNotFoundError):
            if (was_moving and not is_busy) or path.lstat().st_mtime < booted:
                path.unlink()


def _git_works_in(directory: Path) -> bool:
    """Tell whether a git works in the directory: one that outlives the run which had started it, or a person's."""
    return any(True for _ in _gits_in(directory))


def _end_left_behind(directory: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    for process in _gits_in(directory):
        with suppress(OSError):
            proc.send(process.pid, process.started, signal.SIGKILL)
    while _git_works_in(directory) and time.monotonic() < deadline:
        time.sleep(0.05)


def _gits_in(directory: Path) -> Iterator[proc.Process]:
    """Yield the git processes that work in the directory or below."""
    top = directory.resolve()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            process = proc.read(int(folder.name))
            if process and process.name == "git" and Path(os.readlink(folder / "cwd")).is_relative_to(top):
                yield process
