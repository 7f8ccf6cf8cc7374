"""A checkout that a power cut caught between two commits is put right by the next run.

Git puts its objects, references and index on the disk at once (see govma_core.git), but not the files that it checks
out: a power cut can leave them empty, cut short or missing. A note in state_dir tells that the checkout moves. Of the
files that the move was about, those which hold the beginning of what a commit has there are checked out again.
Anything else in the checkout is a person's, and stays.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs import jsonfile, safefs
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.settings import Settings

DEPLOYED = "refs/govma-console/deployed"
"""What a checkout is at while another ref than the branch is deployed."""

_NOTE = "checkout-move.json"
_LOCKS = ("index.lock", "HEAD.lock", "packed-refs.lock", "shallow.lock", "config.lock")


@contextmanager
def noted_move(settings: Settings, git: GitCommands) -> Iterator[None]:
    """Have the note on the disk for the block, which may move the checkout; it stays when the block fails."""
    before = git.sha("HEAD")
    jsonfile.replace(settings.state_dir / _NOTE, {"head": before})
    yield
    if git.sha("HEAD") != before:
        _put_on_disk(settings)
    (settings.state_dir / _NOTE).unlink()


def finish_move(settings: Settings, git: GitCommands, reporter: Reporter) -> None:
    """Put right what an interrupted move left; SourceError where git cannot. Only under the lock."""
    _remove_old_locks(Path(git.repo.git_dir))
    note = jsonfile.read(settings.state_dir / _NOTE)
    if note is None:
        return
    # Made anew, whatever is left of it: the checkout was clean, and nothing of a person's was in it.
    Path(git.repo.git_dir, "index").unlink(missing_ok=True)
    git.run("reset", "--quiet", "--mixed")
    branch, remote = settings.branch, settings.remote
    names = (str(note.get("head")), "HEAD", f"refs/heads/{branch}", f"refs/remotes/{remote}/{branch}", DEPLOYED)
    commits = [sha for sha in map(git.sha, names) if sha]
    paths = {path for sha in commits for path in git.entries("diff", "--name-only", "--no-renames", "-z", sha, "HEAD")}
    restored = 0
    for entry in git.entries("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all"):
        status, path = entry[:2], entry[3:]
        if path in paths and _is_torn(settings.source_dir, path, git, commits):
            if status == "??":
                git.run("clean", "--force", "--quiet", "--", f":(literal){path}")
            else:
                git.run("checkout-index", "--force", "--quiet", "--", path)
            restored += 1
    if restored:
        reporter.warning(
            "The machine stopped while the checkout was moved to another commit. Files restored: {count}.",
            count=restored,
        )
    _put_on_disk(settings)
    (settings.state_dir / _NOTE).unlink()


def _remove_old_locks(git_dir: Path) -> None:
    """Remove git's locks that are older than the machine's boot: who had made them is gone."""
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    for path in (*(git_dir / name for name in _LOCKS), *git_dir.glob("refs/**/*.lock")):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < booted:
                path.unlink()


def _put_on_disk(settings: Settings) -> None:
    with safefs.opened_root(settings.source_dir) as fd:
        safefs.syncfs(fd)


def _is_torn(checkout: Path, path: str, git: GitCommands, commits: Sequence[str]) -> bool:
    """Tell whether a file is gone, or holds the beginning of what one of the commits has there."""
    *folders, name = path.split("/")
    try:
        with safefs.opened_root(checkout) as root, safefs.opened(root, *folders) as folder:
            # Blocks that did not come to the disk read as zeros.
            beginning = _content(folder, name).rstrip(b"\0")
    except FileNotFoundError:
        return True
    except (UnsafeTreeError, OSError):
        return False
    return any(_content_in(commit, path, git).startswith(beginning) for commit in commits)


def _content(folder: int, name: str) -> bytes:
    """Return the bytes of a regular file, or what a link says; UnsafeTreeError for anything else."""
    info = safefs.lstat(folder, name)
    if info is not None and stat.S_ISLNK(info.st_mode):
        return os.fsencode(os.readlink(name, dir_fd=folder))
    fd, _ = safefs.open_regular(folder, name)
    with open(fd, "rb") as file:
        return file.read()


def _content_in(commit: str, path: str, git: GitCommands) -> bytes:
    with suppress(GitFailedError):
        return git.output("cat-file", "--filters", f"{commit}:{path}")
    return b""
