"""The checkout beside the code (prod-env): where it is, what changed since, and moving it forward and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core import safefs
from govma_core.build.git import GitCommands, GitFailedError
from govma_core.errors import RefusedError, SourceError
from govma_core.language import tr
from govma_core.settings import Settings

SOURCES = ("docker", "docker-compose.yml", ".env.sample")
"""What containers are made from."""


class Repository:
    """Git in a directory; closed at the end of opened()."""

    def __init__(self, directory: Path, timeout: int) -> None:
        self.directory = directory
        self._git = GitCommands(directory, timeout)

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._git.repo.close()

    def has(self, sha: str) -> bool:
        """Tell whether it has a commit."""
        return bool(sha) and self.sha(sha) != ""

    def sha(self, name: str) -> str:
        """Return the commit that a name means, '' for none."""
        return self._git.sha(name)

    def contains(self, newer: str, older: str) -> bool:
        """Tell whether a commit has another one in its past, or is it."""
        return self._git.is_ancestor(older, newer)

    def covers(self, folder: str) -> bool:
        """Tell whether a folder, named from the top, is in it."""
        path = (self.directory / folder).resolve()
        return path.is_dir() and path.is_relative_to(self.directory.resolve())

    def changed(self, older: str, newer: str, *paths: str) -> list[str]:
        """Return the files below these paths that differ between two commits."""
        shown = self._git.run("diff", "--name-only", "-z", older, newer, "--", *paths)
        return [path for path in shown.split("\0") if path]

    def edited(self, *paths: str) -> list[str]:
        """Return the files below these paths that somebody changed here and did not commit."""
        return [path for path in self._git.run("diff", "--name-only", "-z", "HEAD", "--", *paths).split("\0") if path]

    def committed(self, path: str) -> float:
        """Return when a path was changed last, by the commits (epoch seconds); 0 for never."""
        shown = self._git.run("log", "-1", "--format=%ct", "--", path).strip()
        return float(shown or 0)

    def content(self, commit: str, path: str) -> str:
        """Return a file of a commit, '' when it has none."""
        try:
            return self._git.run("show", "--end-of-options", f"{commit}:{path}")
        except GitFailedError:
            return ""

    def fetch_from(self, directory: Path, sha: str) -> None:
        """Take a commit over from another checkout on this machine."""
        self._git.run("fetch", "--no-tags", "--quiet", "--", str(directory), sha)

    def forward(self, sha: str) -> None:
        """Move what is checked out straight ahead to a commit; RefusedError when local changes are in the way."""
        try:
            self._git.run("merge", "--ff-only", "--quiet", sha)
            with safefs.opened_root(self.directory) as fd:
                safefs.syncfs(fd)
        except GitFailedError as error:
            raise RefusedError(
                tr(
                    "{directory} cannot be moved forward to {sha}; nothing was changed. {error}",
                    directory=self.directory,
                    sha=sha[:9],
                    error=error,
                )
            ) from None

    def back(self, sha: str) -> None:
        """Move it back to where it was; changes of people are kept."""
        self._git.run("reset", "--keep", "--quiet", sha)


@contextmanager
def opened(directory: Path, settings: Settings) -> Iterator[Repository]:
    """Yield the checkout in a directory; SourceError when it is none."""
    if not (directory / ".git").exists():
        raise SourceError(
            tr("{directory} is no git checkout: what its containers were built from is not known.", directory=directory)
        )
    found = Repository(directory, settings.git_timeout)
    try:
        yield found
    finally:
        found.close()
