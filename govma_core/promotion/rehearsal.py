"""The rehearsal of a version, as the settings want it: in a container, by a command, or not at all."""

from __future__ import annotations

import shlex
from contextlib import suppress

from govma_core.context import Context
from govma_core.engine.client import absent, connected, not_found, told_as
from govma_core.engine.throwaway import remove_leftovers
from govma_core.errors import CommandError, EngineError, GovmaError, NotTriedError, RehearsalError
from govma_core.hooks import variables
from govma_core.process.shell import execute
from govma_core.promotion import rehearsal_container, rehearsal_copy, verdicts
from govma_core.settings import Settings
from govma_core.text.language import tr

_QUICK = 5
_NOT_RUN = (126, 127)
_SIGNALLED = 128
"""Exit codes of sh(1): a command that cannot be run or is not found; above the second, one that a signal ended."""


def rehearse(context: Context, version: str, *, skip: bool = False) -> None:
    """Try a version before anything leads to it.

    RehearsalError, and the version marked as failed, when it is not good; NotTriedError when it could not be tried.
    Without settings for it, or when it is to be skipped, the log says that nothing was tried.
    """
    reporter = context.reporter
    if not context.settings.rehearsed:
        return reporter.info("The new version was not tested before the switch: [rehearsal] is not set.")
    if skip:
        return reporter.warning("The new version was not tested before the switch (--no-rehearsal).")
    with reporter.stage("rehearsal") as remark:
        try_version = _by_command if context.settings.rehearsal_command else _in_container
        try:
            remark.note(try_version(context, version))
        except RehearsalError as error:
            # What is live is judged by who makes another one live, not by a look at it.
            if version != context.versions.pointer().version:
                verdicts.mark_failed(context, version, str(error))
            raise
        except (NotTriedError, EngineError, CommandError) as error:
            raise NotTriedError(
                "{version} was not made live, as it could not be tested. {error}", version=version, error=error
            ) from None
        verdicts.unmark_failed(context, version)


def preflight(settings: Settings) -> list[str]:
    """Return a sentence when versions are to be tried in a container, and there is nothing to make it of."""
    if settings.rehearsal_command or not (settings.rehearsal_image or settings.rehearsal_like):
        return []
    try:
        with connected(_QUICK, otherwise=rehearsal_container.OTHERWISE) as client:
            if settings.rehearsal_like:
                rehearsal_container.like(client, settings)
                return []
            with (
                told_as(tr("find the image {rehearsal_image}", rehearsal_image=settings.rehearsal_image)),
                suppress(not_found()),
            ):
                client.images.get(settings.rehearsal_image)
                return []
            return [
                tr(
                    "Docker has no image {rehearsal_image} (rehearsal.image). Build or pull it, or name another.",
                    rehearsal_image=settings.rehearsal_image,
                )
            ]
    except (EngineError, NotTriedError) as error:
        return [str(error)]


def clear_leftovers(context: Context) -> None:
    """Remove what a killed run's rehearsal left: its container first. Only under the lock.

    Whether this run tries a version or not; that it cannot be removed is a warning.
    """
    settings = context.settings
    if not rehearsal_copy.used(settings.state_dir):
        return
    try:
        if not absent():
            remove_leftovers(settings.versions_dir, context.reporter)
        rehearsal_copy.sweep(settings.state_dir)
        if not (settings.rehearsal_image or settings.rehearsal_like or absent()):
            rehearsal_copy.forget(settings.state_dir)
    except (GovmaError, OSError) as error:
        context.reporter.warning("Leftovers of an earlier rehearsal could not be removed: {error}", error=error)


def _by_command(context: Context, version: str) -> str:
    settings = context.settings
    path = settings.versions_dir / version
    script = f"set -- {shlex.quote(str(path))}\n{settings.rehearsal_command}\n"
    environment = variables(context, version)
    code = execute(script, "rehearsal.command", environment, context.reporter, settings.rehearsal_timeout)
    if code in _NOT_RUN or code > _SIGNALLED:
        # It says nothing about the version: a program is missing, or was killed.
        raise NotTriedError("rehearsal.command could not do its work (exit code {code}).", code=code)
    if code:
        raise RehearsalError("The new version is not good: rehearsal.command ended with exit code {code}.", code=code)
    return tr("rehearsal.command accepted it")


def _in_container(context: Context, version: str) -> str:
    with rehearsal_copy.stage_version(context, version) as stage:
        return rehearsal_container.rehearse(context, stage)
