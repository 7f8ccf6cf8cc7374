"""A checkout that a power cut or a kill caught between two commits is put right by the next run.

Git outlives the run that it works for. What lays out the commit of a killed run in the work dir is ended: it would go
on between the files of the next one.

A note in state_dir tells that the checkout moves. Git puts its objects, references and index on the disk at once (see
govma_core.git), but not the files that it checks out. Nothing is taken from those files, so that they need not be
judged: of the files that the move was about, what differs goes to git's stash, where a person finds what they may have
written meanwhile. Other files stay: the deploy refuses them by name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.building import work_dir
from govma_core.errors import GovmaError
from govma_core.fs import claims, jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.process import descendants
from govma_core.process.proc import Process
from govma_core.reporting import Reporter
from govma_core.settings import Settings

_NOTE = "checkout-move.json"
_LOCKS = ("*.lock", "refs/**/*.lock", "modules/**/*.lock")


@contextmanager
def noted_move(settings: Settings, git: GitCommands, reporter: Reporter, target: str) -> Iterator[None]:
    """Have the note on the disk for the block, which moves the checkout to `target`; what fails is put right at once.

    The note stays when that fails, too.
    """
    before = git.sha("HEAD")
    jsonfile.replace(settings.state_dir / _NOTE, {"head": before, "target": target})
    try:
        yield
    except GitFailedError:
        with suppress(GovmaError, OSError):
            # What git refuses before it begins is a person's, as is a lock.
            if git.sha("HEAD") == before and not git.entries("status", "--porcelain", "-z"):
                _end_move(settings, moved=False)
            else:
                _put_right(settings, git, reporter)
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
        descendants.end_all(lambda: _gits_in(settings.work_dir))
    git_dir, is_noted = Path(git.repo.git_dir), jsonfile.read(settings.state_dir / _NOTE) is not None
    _remove_locks(git_dir, settings, was_moving=is_noted)
    if is_noted:
        # Made anew, whatever is left of it: the checkout was clean, and nothing of a person's was in it.
        (git_dir / "index").unlink(missing_ok=True)
        _put_right(settings, git, reporter)


def torn_files(settings: Settings, git: GitCommands) -> list[str]:
    """Return the paths that finish_move puts right: those that the noted move was about, and that differ from HEAD."""
    note = jsonfile.read(settings.state_dir / _NOTE)
    if note is None:
        return []
    # A note of an earlier version of this program names no target.
    former = (f"refs/remotes/{settings.remote}/{settings.branch}", "refs/govma-console/deployed")
    targets = (str(note["target"]),) if "target" in note else former
    commits = [sha for sha in map(git.sha, (str(note.get("head")), *targets)) if sha]
    moved = {path for sha in commits for path in git.entries("diff", "--name-only", "--no-renames", "-z", sha, "HEAD")}
    status = git.entries("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
    return [
        path for path in moved.intersection(entry[3:] for entry in status) if _fits_stash(settings.source_dir / path)
    ]


def _fits_stash(path: Path) -> bool:
    return not path.exists() or path.is_file() or path.is_dir()


def _put_right(settings: Settings, git: GitCommands, reporter: Reporter) -> None:
    """End the noted move; put into git's stash what differs of the files that it was about."""
    git.run("reset", "--quiet", "--mixed")
    if torn := torn_files(settings, git):
        git.run("--literal-pathspecs", "stash", "push", "--quiet", "--include-untracked", "--", *torn)
        reporter.warning(
            "A move of the checkout to another commit was interrupted. Files put right: {count}. What they were, in "
            "case you had changed them: `git stash show -p -u` in {source_dir}.",
            count=len(torn),
            source_dir=settings.source_dir,
        )
    _end_move(settings, moved=True)


def _remove_locks(git_dir: Path, settings: Settings, *, was_moving: bool) -> None:
    """Remove git's locks that are older than the boot, or of an interrupted move: who had made them is gone."""
    deadline = time.monotonic() + settings.git_timeout
    while was_moving and (is_busy := _gits_in(settings.source_dir)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for path in (path for pattern in _LOCKS for path in git_dir.glob(pattern)):
        with suppress(FileNotFoundError):
            if (was_moving and not is_busy) or _is_of_before_the_boot(path):
                path.unlink()


def _is_of_before_the_boot(path: Path) -> bool:
    return path.lstat().st_mtime < time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def abandoned_lock(settings: Settings, git: GitCommands) -> Path | None:
    """Return the lock that keeps git from moving the checkout, where no git works and finish_move would leave it."""
    lock = Path(git.repo.git_dir, "index.lock")
    with suppress(FileNotFoundError):
        is_left_alone = not _is_of_before_the_boot(lock) and jsonfile.read(settings.state_dir / _NOTE) is None
        return lock if is_left_alone and not _gits_in(settings.source_dir) else None
    return None


def _gits_in(directory: Path) -> list[Process]:
    """Return the git processes that work in the directory or below: of a run that was killed, or a person's."""
    top = directory.resolve()
    gits = []
    for process in descendants.all_processes():
        with suppress(OSError):
            if process.name == "git" and Path("/proc", str(process.pid), "cwd").readlink().is_relative_to(top):
                gits.append(process)
    return gits
