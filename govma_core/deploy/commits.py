"""Commits of the checkout, as git reads them: in the encoding that they declare, of any hash and of any year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from govma_core.errors import RefusedError
from govma_core.git import GitCommands
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

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


def read_commits(git: GitCommands, *revisions: str, most: int = 500) -> list[Commit]:
    """Return commits, the latest first; revisions that are not there are passed over."""
    options = ("-z", "--no-show-signature", "--encoding=UTF-8", f"--max-count={most}", f"--format={_FIELDS}")
    output = git.output("log", *options, "--ignore-missing", *revisions, "--").decode("utf-8", "replace")
    fields = iter(output.split("\0"))
    return [
        Commit(sha, clean_line(subject), clean_line(author), min(max(float(at or 0), _TIMES[0]), _TIMES[1]))
        for sha, subject, author, at in zip(fields, fields, fields, fields, strict=False)
    ]


def describe(commits: Sequence[Commit]) -> str:
    """Return the commits by name, for a sentence; of many the first."""
    more = tr(", {count} more", count=len(commits) - _MOST_NAMED) if len(commits) > _MOST_NAMED else ""
    return ", ".join(f"{commit.short} {commit.subject}" for commit in commits[:_MOST_NAMED]) + more
