"""Check: the rehearsal of one version alone. Nothing is switched."""

from __future__ import annotations

from govma_core.errors import ConfigurationError
from govma_core.language import tr
from govma_core.operations import rehearsal
from govma_core.operations.context import Context, Outcome
from govma_core.operations.promote import require_whole, tell_about


def run(context: Context, *, version: str) -> Outcome:
    """Try the version that `version` names (a unique beginning is enough), as a deploy does before the switch.

    RehearsalError when it is not good; ConfigurationError when the settings do not say how it is to be tried.
    """
    if not context.settings.rehearsed:
        raise ConfigurationError(
            tr(
                "There is nothing to test a version in: set image, like or command in the table [rehearsal] of "
                "the settings."
            )
        )
    with context.reporter.stage("preflight"):
        target = context.versions.find(version)
        commit = tell_about(context, target, context.versions.pointer().version)
        require_whole(context, target)
        rehearsal.clear_leftovers(context)
    rehearsal.rehearse(context, target.name)
    return Outcome(tr("{name} is good.", name=target.name), target.name, commit=commit)
