"""What follows a deploy that is live, as the settings ask: prune, dedupe. None of it can make the deploy fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from govma_core.errors import GovmaError, RunCancelled
from govma_core.language import tr
from govma_core.operations.context import Context


def after_deploy(context: Context) -> dict[str, Any]:
    """Prune and dedupe when the settings say so, then bring the account up to date; give what they came to, by name.

    A failure is a warning: the new version is live whatever comes after it.
    """
    settings = context.settings
    found: dict[str, Any] = {}
    if settings.prune_after_deploy:
        _attempt(context, "prune", _prune, found)
    if settings.dedupe == "all":
        _attempt(context, "dedupe", _dedupe, found)
    _attempt(context, "accounting", _account, {})
    return found


def _attempt(context: Context, name: str, work: Callable[[Context], dict[str, Any]], found: dict[str, Any]) -> None:
    try:
        found[name] = work(context)
    except RunCancelled:
        raise
    except Exception as error:
        # Also a fault of this program: a live deploy must not be told as a failed one.
        kind = "" if isinstance(error, GovmaError | OSError) else f"{type(error).__name__}: "
        context.reporter.warning(
            tr("The new version is live, but {name} after it failed: {kind}{error}", name=name, kind=kind, error=error)
        )


def _prune(context: Context) -> dict[str, Any]:
    from govma_core.operations import prune

    with context.reporter.stage("prune") as remark:
        plan = prune.plan(context)
        prune.tell(context, plan)
        removed = prune.carry_out(context, plan)
        remark.note(removed.sentence())
        return prune.details(plan, removed)


def _dedupe(context: Context) -> dict[str, Any]:
    from govma_core.operations import dedupe

    return dict(dedupe.run(context).details)


def _account(context: Context) -> dict[str, Any]:
    from govma_core.operations import accounting

    accounting.refresh(context)
    return {}
