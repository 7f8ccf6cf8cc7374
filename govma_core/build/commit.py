"""What is told of a commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from govma_core.text import clean_line

if TYPE_CHECKING:
    import git


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


def told(found: git.Commit) -> Commit:
    """Return what is told of a commit that GitPython found."""
    summary = found.summary
    text = summary.decode("utf-8", "replace") if isinstance(summary, bytes) else summary
    return Commit(found.hexsha, clean_line(text), clean_line(found.author.name or ""), float(found.committed_date))
