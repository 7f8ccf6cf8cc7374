"""What a killed run left in the records about versions: taken back, or told, before the next run begins."""

from __future__ import annotations

from contextlib import suppress

from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.operations import verdicts
from govma_core.operations.context import Context
from govma_core.operations.holding import take_back
from govma_core.versions.history import History, Promotion, Result
from govma_core.versions.holds import HoldStore


def settle(context: Context, operation: str, run: str) -> None:
    """Look at what the interrupted run of an operation has said against versions, and what it has not proved."""
    try:
        live = context.versions.pointer().version
    except (GovmaError, OSError):
        # Told by the operation that needs it.
        return
    if live is None:
        return
    if _spoke_against(context, live, run):
        if operation == "rollback":
            # It was killed before its switch.
            take_back(context, live, run)
        else:
            context.reporter.warning(
                tr(
                    "{version} is live, but was found not to be good; run {run} was interrupted before it had switched "
                    "back. `govma-console rollback` goes back.",
                    version=live,
                    run=run,
                )
            )
    # With a command alone nobody is asked, and no result is noted.
    asked = context.settings.activation_url or context.settings.activation_containers
    if asked and _left_unproved(context, live, run):
        verdicts.note_result(context, tr("not proved: interrupted"), run)
        context.reporter.warning(
            tr(
                "{version} is live, but run {run} was interrupted before it was proved that it is served. "
                "`govma-console promote {version}` proves it.",
                version=live,
                run=run,
            )
        )


def _spoke_against(context: Context, version: str, run: str) -> bool:
    mark = verdicts.marks(context).get(version)
    if mark is not None and mark.run == run:
        return True
    with suppress(OSError):
        # The hold is written first.
        return any(
            hold.run == run and hold.version == version for hold in HoldStore(context.settings.state_dir).read().commits
        )
    return False


def _left_unproved(context: Context, live: str, run: str) -> bool:
    """Tell whether the version is live by this run, and nothing was written down about what that came to."""
    with suppress(OSError):
        entries = History(context.settings.state_dir).entries()
        promotions = [entry for entry in entries if isinstance(entry, Promotion)]
        noted = any(isinstance(entry, Result) and entry.of == run for entry in entries)
        return bool(promotions) and (promotions[-1].run, promotions[-1].version) == (run, live) and not noted
    return False
