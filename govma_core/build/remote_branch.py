"""Whether the remote has the branch of the settings at all: asked where something else went wrong without it."""

from __future__ import annotations

from govma_core.build.git import GitCommands, GitFailedError
from govma_core.errors import SourceError
from govma_core.language import tr
from govma_core.settings import Settings

_SHOWN = 20


def require(git: GitCommands, settings: Settings) -> None:
    """Raise SourceError with the branches of the remote when ours is none of them; nothing when it cannot tell."""
    try:
        found = git.run("ls-remote", "--heads", "--", settings.remote).splitlines()
    except GitFailedError:
        return
    there = sorted(line.partition("\t")[2].removeprefix("refs/heads/") for line in found)
    if there and settings.branch not in there:
        raise SourceError(
            tr(
                "{remote} has no branch {branch!r} (the setting branch, GOVMA_BRANCH). It has: {there}.",
                remote=settings.remote,
                branch=settings.branch,
                there=", ".join(there[:_SHOWN]),
            )
        )
