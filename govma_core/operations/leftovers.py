"""What killed runs left among the versions: finished, taken back or swept away before the next operation begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from govma_core import safefs
from govma_core.disk.contents import ContentsStore
from govma_core.language import tr
from govma_core.live import probe
from govma_core.operations.context import Context
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import MarkStore
from govma_core.versions.names import REMOVED_PREFIX
from govma_core.versions.pins import PinStore
from govma_core.versions.removal import Remover
from govma_core.versions.sweeping import sweep

_MOST_NAMED = 3


def clear(context: Context) -> None:
    """Clear the versions directory of what killed runs left, and say what that was. Only under the lock.

    What resists (an immutable file, a mount) is named in a warning, and tried again by the next run.
    """
    if done := remover(context).take_up():
        context.reporter.warning(done)
    pointer = context.versions.pointer()
    # Where the link leads to nothing, what it led to may be what was set aside.
    spare = [REMOVED_PREFIX] if pointer.version is None and pointer.target is not None else []
    with safefs.opened_root(context.settings.versions_dir) as fd:
        probe.sweep(fd, [version.name for version in context.versions.versions()])
        for found in sweep(fd, spare=spare):
            warn(context, context.settings.versions_dir / found.name, found.what, found.left if found.ours else None)
            if found.ours and not found.left:
                context.reporter.info(tr("Removed {name}, {what}.", name=found.name, what=found.what))


def warn(context: Context, path: Path, what: str, left: Sequence[str] | None) -> None:
    """Warn of a leftover that is still there: `left` is what resisted, None where it may be none of ours."""
    if left is None:
        context.reporter.warning(
            tr(
                "{path} is named like a leftover of a killed run, but it is not certain that it is one; "
                "it is left alone. Look at what it holds, then rename or remove it.",
                path=path,
            )
        )
    elif left:
        context.reporter.warning(
            tr("{name} ({what}) cannot be removed whole: {left}.", name=path.name, what=what, left=some(left))
        )


def remover(context: Context) -> Remover:
    """Return what removes versions, with all that is recorded about them."""
    state = context.settings.state_dir
    drops = [
        ManifestStore(state).discard,
        ContentsStore(state).discard,
        PinStore(state).unpin,
        MarkStore(state).clear,
    ]
    return Remover(context.versions, state, drops)


def some(problems: Sequence[str]) -> str:
    """Return the first few of many sentences in one line."""
    more = len(problems) - _MOST_NAMED
    return "; ".join(problems[:_MOST_NAMED]) + (tr("; and {more} more", more=more) if more > 0 else "")
