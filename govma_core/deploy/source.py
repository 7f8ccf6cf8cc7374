"""The clean checkout: whether it is clean, moving it to the commit that is deployed, and what that commit holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass

from govma_core.building import inputs
from govma_core.deploy.checkout_recovery import abandoned_lock, finish_move, noted_move, torn_files
from govma_core.deploy.commit_files import CommitFiles
from govma_core.deploy.commits import Commit, describe, read_commits
from govma_core.deploy.remote import Remote
from govma_core.errors import GovmaError, PreflightError, SourceError
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter, silent
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr
from govma_core.versions.holds import Hold, HoldStore

_MOST_NAMED = 20
_PARTS = ("data", "data/system", "data/system/user", "data/html")


@dataclass(frozen=True, slots=True)
class NextDeploy:
    """What a deploy would do now: build `target`, or be refused for the checkout (`refusal`, a sentence) or a hold.

    `withdrawn` are commits of the checkout that the remote's branch had and has no more, the latest first; a deploy
    leaves them behind, and `warning` says so.
    """

    target: Commit
    withdrawn: list[Commit]
    warning: str
    refusal: str
    hold: Hold | None

    def error(self) -> GovmaError | None:
        """Return what a deploy without --force would raise; None when it would begin."""
        # It looks at the hold of all deploys first, and at that of a commit behind the checkout.
        if self.refusal and (self.hold is None or self.hold.commit):
            return PreflightError([self.refusal])
        return self.hold.error() if self.hold else None

    def require(self, confirmed_sha: str | None = None) -> Commit:
        """Return the commit; raise PreflightError for a refusal, RefusedError when another one was confirmed."""
        if self.refusal:
            raise PreflightError([self.refusal])
        self.target.require(confirmed_sha)
        return self.target


class Checkout:
    """The checkout in source_dir: it follows the remote, and what a person made in it is never lost."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = GitCommands(settings.source_dir, settings.git_timeout)
        self._remote = Remote(settings, reporter, self._git)
        self._branch = f"refs/heads/{settings.branch}"

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._git.repo.close()

    def recover(self) -> None:
        """Put right what a power cut left of a move; SourceError where git cannot. Only under the lock."""
        finish_move(self._settings, self._git, self._reporter)
        # Files that are as young as the index are read whole by each command that looks at them, until it is renewed.
        with suppress(SourceError):
            self._git.run("update-index", "-q", "--refresh")

    def changes(self) -> str:
        """Return a sentence with the files in the way: changed, staged, or untracked and not ignored; '' for none."""
        torn = torn_files(self._settings, self._git)
        untracked = f"--untracked-files={'all' if torn else 'normal'}"
        status = self._git.entries("status", "--porcelain=v2", "-z", untracked)
        dirty = [change for change in _changes(status) if change[3:] not in torn]
        return self._not_clean(dirty) if dirty else ""

    def _not_clean(self, dirty: list[str]) -> str:
        sentence = tr(
            "The checkout {source_dir} is not clean. Commit, move or remove what is named here "
            "(`git status` there says more):\n",
            source_dir=self._settings.source_dir,
        )
        # /readyz sends it to a terminal, say, and names of files are any bytes.
        lines = [f"  {clean_line(os.fsencode(entry).decode('utf-8', 'replace'))}" for entry in dirty[:_MOST_NAMED]]
        if len(dirty) > _MOST_NAMED:
            lines.append(tr("  … and {count} more", count=len(dirty) - _MOST_NAMED))
        return sentence + "\n".join(lines)

    def fetch(self) -> None:
        """Fetch what the remote has; the checkout itself is not touched."""
        self._remote.fetch()

    def next_deploy(self, ref: str | None = None) -> NextDeploy:
        """Return what a deploy of the branch, or of another ref, would do now, by what was fetched last.

        Whatever speaks of a deploy to come asks here, and so does the deploy. SourceError when there is nothing that
        could be deployed.
        """
        target = self._remote.resolve(ref)
        unpushed, withdrawn = ([], []) if ref is not None else self._not_in(target)
        refusal = self.changes() or self._nameless_head() or self._unpushed(unpushed)
        if not refusal and ref is None:
            refusal = self._in_the_way(target) or self._locked(target)
        refusal = refusal or self._no_site(target)
        hold = HoldStore(self._settings.state_dir).read().of(target.sha)
        return NextDeploy(target, withdrawn, self._withdrawal(withdrawn), refusal, hold)

    def _not_in(self, target: Commit) -> tuple[list[Commit], list[Commit]]:
        """Return what the checkout has and the remote's branch has not: never had, and has no more."""
        # A checkout without the branch may follow the remote with no branch at all.
        start = self._git.sha(self._branch) or ("" if self._head() else self._git.sha("HEAD"))
        if not start:
            return [], []
        unpushed = self._remote.lacked(start)
        others = read_commits(self._git, start, "--not", target.sha)
        return unpushed, [commit for commit in others if commit not in unpushed]

    def _in_the_way(self, target: Commit) -> str:
        """Return a sentence with what `git status` does not show, and git would not overwrite to get to a commit."""
        if self._git.sha("HEAD") in ("", target.sha):
            return ""
        flags = dict.fromkeys(torn_files(self._settings, self._git), "H")
        flags |= {entry[2:]: entry[0] for entry in self._git.entries("ls-files", "-v", "-z")}
        changed = self._git.entries("diff", "--name-only", "--no-renames", "-z", "HEAD", target.sha)
        untracked = [self._settings.source_dir / path for path in changed if path not in flags]
        ignored = [path for path in untracked if path.is_symlink() or path.is_file()]
        if ignored:
            return self._not_clean([f"!! {path.relative_to(self._settings.source_dir)}" for path in ignored])
        hidden = {path for path, flag in flags.items() if flag.islower() or flag == "S"}
        edited = [path for path in changed if path in hidden and self._is_edited(path)]
        if not edited:
            return ""
        return tr(
            "The checkout {source_dir} has edits that git was told not to look at, in files that a deploy would "
            "change: {files}. Let git look with `git update-index --no-assume-unchanged FILE` or `--no-skip-worktree "
            "FILE`, and move the edits elsewhere.",
            source_dir=self._settings.source_dir,
            files=", ".join(clean_line(os.fsencode(path).decode("utf-8", "replace")) for path in edited[:_MOST_NAMED]),
        )

    def _is_edited(self, path: str) -> bool:
        if not os.path.lexists(self._settings.source_dir / path):
            return False
        with suppress(GitFailedError):
            return self._git.run("hash-object", "--", path) != self._git.run("rev-parse", f"HEAD:{path}")
        return True

    def _locked(self, target: Commit) -> str:
        lock = None if self._is_at(target) else abandoned_lock(self._settings, self._git)
        if lock is None:
            return ""
        return tr(
            "A git that was killed has left {lock}, and the checkout cannot move to {short}. Remove it: rm {lock}",
            lock=lock,
            short=target.short,
        )

    def _no_site(self, target: Commit) -> str:
        """Return a sentence with the directories of a site that a commit has not; a submodule may bring some."""
        entries = (entry.partition("\t") for entry in self._git.entries("ls-tree", "-tz", target.sha, "--", *_PARTS))
        kinds = {path: about.split(" ")[1] for about, _, path in entries}
        missing = [part for part in _PARTS if kinds.get(part) != "tree"]
        if not missing or "commit" in kinds.values():
            return ""
        return tr(
            "Commit {short} ({subject}) has no {missing}: is it the site's repository, and the right branch?",
            short=target.short,
            subject=target.subject,
            missing=", ".join(missing),
        )

    def _nameless_head(self) -> str:
        if self._head() or not self._remote.lacked("HEAD", "--branches"):
            return ""
        return tr(
            "The checkout {source_dir} is at {head}, a commit that is on no branch. Keep it with "
            "`git branch NAME {head}`, then deploy again.",
            source_dir=self._settings.source_dir,
            head=self._git.sha("HEAD")[:9],
        )

    def _unpushed(self, commits: Sequence[Commit]) -> str:
        if not commits:
            return ""
        return tr(
            "{branch} in {source_dir} has {commits} that {remote} never had: {named}. A deploy takes what the "
            "remote has. Push them; or keep them with `git branch NAME {branch}`, and go to what the remote has "
            "with `git reset --keep {remote}/{branch}`.",
            branch=self._settings.branch,
            source_dir=self._settings.source_dir,
            commits=counted(len(commits), "commit", "commits"),
            remote=self._settings.remote,
            named=describe(commits),
        )

    def _withdrawal(self, commits: Sequence[Commit]) -> str:
        if not commits:
            return ""
        return tr(
            "Withdrawn from {remote}/{branch}: {commits} ({named}). A deploy leaves them behind; `git reflog` in "
            "{source_dir} still has them.",
            remote=self._settings.remote,
            branch=self._settings.branch,
            commits=counted(len(commits), "commit", "commits"),
            named=describe(commits),
            source_dir=self._settings.source_dir,
        )

    def follow(self, target: Commit) -> None:
        """Have the branch checked out at the remote's commit, wherever a killed run, a person or a push has left it."""
        branch = self._settings.branch
        if self._is_at(target):
            return
        if self._head() != self._branch:
            self._reporter.warning("The checkout was not on {branch}; it goes there.", branch=branch)
        others = (ref.removeprefix("refs/heads/") for ref in self._git.refs("refs/heads/"))
        # `release` and `release/2026` cannot both be there; the branch in the way is a person's, and stays.
        has_room = not any(
            f"{branch}/".startswith(f"{other}/") or other.startswith(f"{branch}/")
            for other in others
            if other != branch
        )
        with noted_move(self._settings, self._git, self._reporter, target.sha):
            # What git ignores is a person's as well. What git-lfs cannot bring is for the work dir to tell.
            options = ("--no-overwrite-ignore", *(("-B", branch) if has_room else ("--detach",)))
            git = self._git.elsewhere(self._settings.source_dir, {"GIT_LFS_SKIP_DOWNLOAD_ERRORS": "1"})
            git.run("checkout", "--quiet", "--no-recurse-submodules", *options, target.sha, "--")

    def _is_at(self, target: Commit) -> bool:
        return (self._head(), self._git.sha("HEAD")) == (self._branch, target.sha)

    def _head(self) -> str:
        """Return the branch that is checked out, as a whole ref; '' for none."""
        try:
            return self._git.run("symbolic-ref", "--quiet", "HEAD").strip()
        except GitFailedError as error:
            if error.code == 1:
                return ""
            raise

    def commit(self, sha: str) -> Commit:
        """Return a commit of the checkout; SourceError when it is not there any more."""
        commits = read_commits(self._git, sha, most=1)
        if not commits:
            raise SourceError(
                "{source_dir} has no commit {sha} any more.", source_dir=self._settings.source_dir, sha=sha
            )
        return commits[0]

    def between(self, older: str, newer: str) -> list[Commit] | None:
        """Return the commits in `newer` that are not in `older`, the latest first; None when one is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return None
        return read_commits(self._git, newer, "--not", older)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; False when one of them is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return False
        return self._git.is_ancestor(older, newer)

    def lay_out(self, commit: Commit, work_fd: int, owner: tuple[int, int] | None, folder: str = "") -> CommitFiles:
        """Fill the emptied work dir with the files of a commit, or of a folder of it; see CommitFiles."""
        files = CommitFiles(self._settings, self._reporter, self._git, work_fd, owner)
        files.fill(commit.sha, folder)
        return files

    def files(self, sha: str, folder: str) -> frozenset[str]:
        """Return the paths of a commit's files below a folder, from that folder on; none where there is no commit."""
        if not sha or not self._git.sha(sha):
            return frozenset()
        paths = self._git.entries("ls-tree", "-r", "-z", "--name-only", sha, "--", f"{folder}/")
        return frozenset(path.removeprefix(f"{folder}/") for path in paths)

    def unmatched(self, globs: Sequence[str]) -> list[str]:
        """Return the globs that match no file of the checkout's index."""
        return inputs.unmatched(globs, self._git.entries("ls-files", "-z"))


def _changes(entries: Iterable[str]) -> Iterator[str]:
    """Yield what differs, as `git status --short` writes it, of the entries of `git status --porcelain=v2 -z`.

    A submodule that is at another commit, and clean, is left out: it is not moved with the checkout.
    """
    remaining = iter(entries)
    for entry in remaining:
        kind, _, rest = entry.partition(" ")
        if kind == "?":
            yield f"?? {rest}"
            continue
        fields = {"1": 8, "2": 9, "u": 10}[kind]
        state, submodule, *_, path = rest.split(" ", fields - 1)
        if kind == "2":
            next(remaining)  # the former name
        if (state, submodule) != (".M", "SC.."):
            yield f"{state.replace('.', ' ')} {path}"


def refusal(settings: Settings) -> str:
    """Return why a deploy of the branch would be refused now, by what was fetched last; '' when it would begin."""
    try:
        with closing(Checkout(settings, silent())) as checkout:
            return str(checkout.next_deploy().error() or "")
    except (GovmaError, OSError) as error:
        return str(error)


def recover(settings: Settings, reporter: Reporter) -> None:
    """Put the checkout right after a power cut; what is wrong with it otherwise is for `preflight` to say."""
    with suppress(SourceError), closing(Checkout(settings, reporter)) as checkout:
        checkout.recover()


def preflight(settings: Settings, reporter: Reporter) -> list[str]:
    """Return a sentence for what makes source_dir unusable."""
    directory = settings.source_dir
    if not directory.is_dir():
        return [
            tr(
                "source_dir ({directory}) is not there. Clone the site's repository to it, or set GOV_MA_GIT_SRC_DIR.",
                directory=directory,
            )
        ]
    try:
        with closing(Checkout(settings, reporter)) as checkout:
            problem = checkout.changes()
    except SourceError as error:
        return [str(error)]
    return [problem] if problem else []
