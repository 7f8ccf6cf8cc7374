"""The clean checkout: whether it is clean, moving it to the commit that is deployed, and what that commit holds."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from govma_core.deploy.checkout_recovery import finish_move, noted_move
from govma_core.deploy.commit_files import CommitFiles, unmatched_globs
from govma_core.errors import GovmaError, RefusedError, SourceError
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter, silent
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore

_MOST_NAMED = 20
_FIELDS = "%H%x00%s%x00%an%x00%ct"
_TIMES = (-62_000_000_000.0, 253_000_000_000.0)
"""What Python takes for a time, in seconds since the epoch; a commit may tell any."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: full sha, first line of its message, author's name, commit time (epoch seconds)."""

    sha: str
    subject: str
    author: str
    committed: float

    @property
    def short(self) -> str:
        """Return the sha as people write it."""
        return self.sha[:9]

    def require(self, confirmed_sha: str | None) -> None:
        """Raise RefusedError unless it is the commit that the operator confirmed (None: any)."""
        if confirmed_sha is not None and confirmed_sha != self.sha:
            raise RefusedError(
                "{commit_shown} was to be deployed, but {short} ({subject}) has been pushed since. "
                "Look at what is pending, and deploy again.",
                commit_shown=confirmed_sha[:9],
                short=self.short,
                subject=self.subject,
            )


@dataclass(frozen=True, slots=True)
class NextDeploy:
    """What a deploy would do now: build `target`, or be refused with the sentence `refusal`.

    `withdrawn` are commits of the checkout that the remote's branch had and has no more, the latest first; a deploy
    leaves them behind, and `warning` says so.
    """

    target: Commit
    withdrawn: list[Commit]
    warning: str = ""
    refusal: str = ""

    def require(self, confirmed_sha: str | None = None) -> Commit:
        """Return the commit; raise SourceError for a refusal, RefusedError when another one was confirmed."""
        if self.refusal:
            raise SourceError(self.refusal)
        self.target.require(confirmed_sha)
        return self.target


class Checkout:
    """The checkout in source_dir: it follows the remote, and what a person made in it is never lost."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = GitCommands(settings.source_dir, settings.git_timeout)
        self._remote_branch = f"refs/remotes/{settings.remote}/{settings.branch}"
        self._branch = f"refs/heads/{settings.branch}"

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._git.repo.close()

    def recover(self) -> None:
        """Put right what a power cut left of a move; SourceError where git cannot. Only under the lock."""
        finish_move(self._settings, self._git, self._reporter)

    def changes(self) -> str:
        """Return a sentence with the files in the way: changed, staged, or untracked and not ignored; '' for none."""
        dirty = list(_changes(self._git.entries("status", "--porcelain=v2", "-z", "--untracked-files=normal")))
        if not dirty:
            return ""
        sentence = tr(
            "The checkout {source_dir} is not clean. Commit, move or remove what is named here "
            "(`git status` there says more):\n",
            source_dir=self._settings.source_dir,
        )
        lines = [f"  {entry}" for entry in dirty[:_MOST_NAMED]]
        if len(dirty) > _MOST_NAMED:
            lines.append(tr("  … and {count} more", count=len(dirty) - _MOST_NAMED))
        return sentence + "\n".join(lines)

    def fetch(self) -> None:
        """Fetch the branches and tags of the remote, and forget those branches that it has no more."""
        remote, branch = self._settings.remote, self._settings.branch
        try:
            if self._git.run("rev-parse", "--is-shallow-repository").strip() == "true":
                # All branches would bring the history that this clone is without.
                self._git.run("remote", "prune", remote, waiting=self._reporter.cancellation.interruptible)
                refs = [remote, f"+refs/heads/{branch}:{self._remote_branch}"]
            else:
                # Tags of the checkout's own stay, but `git describe` in a build says what the remote's say.
                refs = ["--prune", "--tags", "--force", remote, f"+refs/heads/*:refs/remotes/{remote}/*"]
            self._git.run(
                "fetch", "--quiet", "--no-recurse-submodules", *refs, waiting=self._reporter.cancellation.interruptible
            )
        except GitFailedError as error:
            if "couldn't find remote ref" in str(error):
                self._git.run("update-ref", "-d", self._remote_branch)
                return
            raise SourceError(
                "{error}. The settings name remote {remote!r} and branch {branch!r}: `git remote -v` in "
                "{source_dir} shows where that is, `git ls-remote {remote}` whether it answers.",
                error=str(error).rstrip("."),
                remote=remote,
                branch=branch,
                source_dir=self._settings.source_dir,
            ) from None
        if not self._git.sha(self._remote_branch):
            # So that what says that it is gone can name the one which has taken its place.
            with suppress(GitFailedError):
                self._git.run("remote", "set-head", remote, "--auto")

    def next_deploy(self, ref: str | None = None) -> NextDeploy:
        """Return what a deploy of the branch, or of another ref, would do now, by what was fetched last.

        Whatever speaks of a deploy to come asks here, and so does the deploy. SourceError when there is nothing that
        could be deployed.
        """
        target = self._resolve(ref)
        unpushed, withdrawn = ([], []) if ref is not None else self._not_in(target)
        refusal = self.changes() or self._nameless_head() or self._unpushed(unpushed)
        return NextDeploy(target, withdrawn, self._withdrawal(withdrawn), refusal)

    def _not_in(self, target: Commit) -> tuple[list[Commit], list[Commit]]:
        """Return what the checkout has and the remote's branch has not: never had, and has no more."""
        # A checkout without the branch may follow the remote with no branch at all.
        start = self._git.sha(self._branch) or ("" if self._head() else self._git.sha("HEAD"))
        if not start:
            return [], []
        unpushed = self._only_here(start)
        return unpushed, [commit for commit in self._commits(start, "--not", target.sha) if commit not in unpushed]

    def _nameless_head(self) -> str:
        if self._head() or not self._only_here("HEAD", "--branches"):
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
            named=_named(commits),
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
            named=_named(commits),
            source_dir=self._settings.source_dir,
        )

    def follow(self, target: Commit) -> None:
        """Have the branch checked out at the remote's commit, wherever a killed run, a person or a push has left it."""
        head, branch = self._head(), self._settings.branch
        if (head, self._git.sha("HEAD")) == (self._branch, target.sha):
            return
        if head != self._branch:
            self._reporter.warning("The checkout was not on {branch}; it goes back there.", branch=branch)
        others = (ref.removeprefix("refs/heads/") for ref in self._refs("refs/heads/"))
        # `release` and `release/2026` cannot both be there; the branch in the way is a person's, and stays.
        has_room = not any(
            f"{branch}/".startswith(f"{other}/") or other.startswith(f"{branch}/")
            for other in others
            if other != branch
        )
        with noted_move(self._settings, self._git):
            # What git ignores is a person's as well.
            options = ("--no-overwrite-ignore", *(("-B", branch) if has_room else ("--detach",)))
            self._git.run("checkout", "--quiet", *options, target.sha, "--")

    def _head(self) -> str:
        """Return the branch that is checked out, as a whole ref; '' for none."""
        try:
            return self._git.run("symbolic-ref", "--quiet", "HEAD").strip()
        except GitFailedError as error:
            if error.code == 1:
                return ""
            raise

    def _refs(self, prefix: str) -> list[str]:
        return self._git.run("for-each-ref", "--format=%(refname)", prefix).split()

    def _resolve(self, ref: str | None) -> Commit:
        """Return the commit of the remote's branch, or the one that a branch of it, a tag or a sha names."""
        remote = self._settings.remote
        if ref is None:
            if sha := self._git.sha(self._remote_branch):
                return self.commit(sha)
            raise SourceError(self._no_branch())
        for name in (f"refs/remotes/{remote}/{ref}", f"refs/tags/{ref}"):
            if sha := self._git.sha(name):
                return self.commit(sha)
        if re.fullmatch(r"[0-9a-fA-F]{4,64}", ref):
            sha = self._git.sha(ref)
            if sha and not self._only_here(sha, "--tags"):
                return self.commit(sha)
        raise SourceError(
            "{ref!r} is no branch of {remote}, no tag, and no commit that was fetched from it.",
            ref=ref,
            remote=remote,
        )

    def _no_branch(self) -> str:
        """Say that the remote has no such branch, and which it has."""
        remote, branch = self._settings.remote, self._settings.branch
        prefix = f"refs/remotes/{remote}/"
        default = ""
        with suppress(GitFailedError):
            default = self._git.run("symbolic-ref", "--quiet", f"{prefix}HEAD").strip()
        branches = [
            ref.removeprefix(prefix) + (tr(" (its default)") if ref == default else "")
            for ref in self._refs(prefix)
            if ref != f"{prefix}HEAD"
        ]
        there = ", ".join(branches[:_MOST_NAMED]) or tr("none that was fetched")
        if self._git.sha(self._branch):
            return tr(
                "{remote} has no branch {branch!r} any more (the setting branch, GOVMA_BRANCH): it was deleted or "
                "renamed there. It has: {there}.",
                remote=remote,
                branch=branch,
                there=there,
            )
        return tr(
            "{remote} has no branch {branch!r} (the setting branch, GOVMA_BRANCH). It has: {there}.",
            remote=remote,
            branch=branch,
            there=there,
        )

    def _only_here(self, start: str, *others: str) -> list[Commit]:
        """Return the commits up to `start` that the remote never had, nor one of these other refs, the latest first."""
        path = self._git.run("rev-parse", "--git-path", f"logs/{self._remote_branch}").strip()
        former: set[str] = set()
        with suppress(OSError):
            former |= ManifestStore(self._settings.state_dir).commits()
            lines = Path(self._settings.source_dir, path).read_bytes().splitlines()
            former |= {os.fsdecode(sha) for line in lines for sha in line.split()[:2]}
        return self._commits(start, "--not", f"--remotes={self._settings.remote}", *others, *sorted(former))

    def _commits(self, *revisions: str, most: int = 500) -> list[Commit]:
        """Return commits, the latest first; revisions that are not there are passed over."""
        options = ("-z", "--no-show-signature", "--encoding=UTF-8", f"--max-count={most}", f"--format={_FIELDS}")
        output = self._git.output("log", *options, "--ignore-missing", *revisions, "--").decode("utf-8", "replace")
        fields = iter(output.split("\0"))
        return [
            Commit(sha, clean_line(subject), clean_line(author), min(max(float(at or 0), _TIMES[0]), _TIMES[1]))
            for sha, subject, author, at in zip(fields, fields, fields, fields, strict=False)
        ]

    def commit(self, sha: str) -> Commit:
        """Return a commit of the checkout."""
        (commit,) = self._commits(sha, most=1)
        return commit

    def between(self, older: str, newer: str) -> list[Commit] | None:
        """Return the commits in `newer` that are not in `older`, the latest first; None when one is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return None
        return self._commits(newer, "--not", older)

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; False when one of them is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return False
        return self._git.is_ancestor(older, newer)

    def lay_out(self, commit: Commit, work_fd: int, owner: tuple[int, int] | None) -> CommitFiles:
        """Fill the emptied work dir with the files of a commit; see CommitFiles."""
        files = CommitFiles(self._settings, self._reporter, self._git, work_fd, owner)
        files.fill(commit.sha)
        return files

    def files(self, sha: str, folder: str) -> frozenset[str]:
        """Return the paths of a commit's files below a folder, from that folder on; none where there is no commit."""
        if not sha or not self._git.sha(sha):
            return frozenset()
        paths = self._git.entries("ls-tree", "-r", "-z", "--name-only", sha, "--", f"{folder}/")
        return frozenset(path.removeprefix(f"{folder}/") for path in paths)

    def unmatched(self, globs: Sequence[str]) -> list[str]:
        """Return the globs that match no file of the checkout's index."""
        return unmatched_globs(self._git, globs)

    def archive(self, commit: Commit, folder: str) -> io.BytesIO | None:
        """Return a folder of a commit as a tar file, with the folder's content at its top; None without one."""
        if not self._git.run("ls-tree", "-d", commit.sha, "--", folder):
            return None
        return io.BytesIO(self._git.output("archive", "--format=tar", f"{commit.sha}:{folder}"))


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


def _named(commits: Sequence[Commit]) -> str:
    more = tr(", {count} more", count=len(commits) - _MOST_NAMED) if len(commits) > _MOST_NAMED else ""
    return ", ".join(f"{commit.short} {commit.subject}" for commit in commits[:_MOST_NAMED]) + more


def refusal(settings: Settings) -> str:
    """Return why a deploy of the branch would be refused now, by what was fetched last; '' when it would begin."""
    try:
        with closing(Checkout(settings, silent())) as checkout:
            next_deploy = checkout.next_deploy()
        hold = HoldStore(settings.state_dir).read().of(next_deploy.target.sha)
    except (GovmaError, OSError) as error:
        return str(error)
    return next_deploy.refusal or (hold.sentence() if hold else "")


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
