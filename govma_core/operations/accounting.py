"""The account of the versions, as operations need it: measured now, and brought up to date after a change."""

from __future__ import annotations

import os

from govma_core.disk.usage.measure import Usage, measure
from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.operations.context import Context


def account(context: Context, *, rescan: bool = False, workers: int = 2) -> Usage:
    """Measure all versions, the newest first; `rescan` trusts nothing that was measured before."""
    settings = context.settings
    return measure(
        settings.versions_dir,
        [version.name for version in context.versions.versions()],
        current=context.versions.pointer().version,
        cache_dir=settings.state_dir / "usage",
        rescan=rescan,
        step=context.reporter.cancellation.check,
        workers=workers,
    )


def refresh(context: Context) -> Usage | None:
    """Bring up to date what `list` shows; what goes wrong is a warning."""
    try:
        return account(context)
    except (GovmaError, OSError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        context.reporter.warning(tr("The sizes of the versions could not be measured: {reason}.", reason=reason))
        return None
