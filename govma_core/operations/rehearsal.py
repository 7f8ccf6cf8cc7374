"""The rehearsal of a version, as the settings want it: in a container, by a command, or not at all."""

from __future__ import annotations

import shlex

from govma_core.errors import CommandError, RehearsalError
from govma_core.live import candidate
from govma_core.operations import verdicts
from govma_core.operations.context import Context
from govma_core.operations.surroundings import variables
from govma_core.settings import Settings
from govma_core.shell.command import execute
from govma_core.versions.names import POINTER


def rehearse(context: Context, version: str, *, skip: bool = False) -> None:
    """Try a version before anything leads to it; RehearsalError, and the version marked as failed, when it is not good.

    Without settings for it, or when it is to be skipped, the log says that nothing was tried.
    """
    reporter = context.reporter
    if not context.settings.rehearsed:
        return reporter.info("The new version was not tried before the switch: [rehearsal] is not set.")
    if skip:
        return reporter.warning("The new version was not tried before the switch, as was asked for (--no-rehearsal).")
    with reporter.stage("rehearsal") as remark:
        _clear_leftovers(context)
        try:
            remark.note(
                _by_command(context, version) if context.settings.rehearsal_command else _apart(context, version)
            )
        except RehearsalError as error:
            verdicts.mark_failed(context, version, str(error))
            raise RehearsalError(str(error), version, context.versions.pointer().version) from None


def preflight(settings: Settings) -> list[str]:
    """Give a sentence when there is nothing to try a version in, though the settings want it."""
    if settings.rehearsal_command or not (settings.rehearsal_image or settings.rehearsal_like):
        return []
    from govma_core.live.rehearsal import preflight as for_a_container

    return for_a_container(settings)


def _clear_leftovers(context: Context) -> None:
    """Remove what a killed run's rehearsal left: its container first. Only under the lock."""
    settings = context.settings
    if settings.rehearsal_image or settings.rehearsal_like:
        from govma_core.engine.throwaway import remove_leftovers

        remove_leftovers(settings.versions_dir, context.reporter)
    candidate.sweep(settings.state_dir)


def _by_command(context: Context, version: str) -> str:
    settings = context.settings
    path = settings.versions_dir / version
    script = f"set -- {shlex.quote(str(path))}\n{settings.rehearsal_command}\n"
    try:
        code = execute(
            script, "rehearsal.command", variables(context, version), context.reporter, settings.rehearsal_timeout
        )
    except CommandError as error:
        raise RehearsalError(f"The new version could not be tried: {error}") from None
    if code:
        raise RehearsalError(f"The new version is not good: rehearsal.command ended with exit code {code}.")
    return "rehearsal.command took it for good"


def _apart(context: Context, version: str) -> str:
    from govma_core.live.rehearsal import rehearse as in_a_container

    settings, reporter = context.settings, context.reporter
    with candidate.staged(
        settings.state_dir,
        settings.versions_dir,
        version,
        link=POINTER,
        writable=settings.rehearsal_writable,
        owner=context.web_owner,
        step=reporter.cancellation.check,
    ) as stage:
        return in_a_container(settings, stage, context.run_id, reporter)
