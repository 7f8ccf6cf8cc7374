"""The rehearsal: a version is tried before anything leads to it.

As the settings want it: in a throwaway web container (rehearsal_container.py), by a command, or not at all.
"""

from __future__ import annotations

import os
import shlex
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from govma_core.context import Context
from govma_core.engine.client import absent, connected, not_found, socket_path, told_as
from govma_core.engine.containers import addresses
from govma_core.engine.throwaway import remove_leftovers
from govma_core.errors import CommandError, EngineError, GovmaError, NotTriedError, RehearsalError, RunCancelled
from govma_core.hooks import variables
from govma_core.process.shell import execute
from govma_core.promotion import page_checks, rehearsal_container, rehearsal_copy, request_headers, verdicts
from govma_core.promotion.rehearsal_copy import Stage
from govma_core.promotion.web_page import Address
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.settings.validate import PageCheck
from govma_core.text.clean import clean_lines
from govma_core.text.language import marked, tr

if TYPE_CHECKING:
    from docker.models.containers import Container

_OTHERWISE = marked(", or try versions by rehearsal.command, or not at all (--no-rehearsal)")
_QUICK = 5
_PAUSE = 0.1
_LOG_LINES = 200
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
        try:
            remark.note(_try(context, version))
        except RehearsalError as error:
            live = context.versions.pointer().version
            # What is live is judged by who makes another one live, not by a look at it.
            if version != live:
                try:
                    if live:
                        _require_live_passes(context, live, version, error)
                except RunCancelled:
                    verdicts.mark_failed(context, version, str(error))
                    raise
                verdicts.mark_failed(context, version, str(error))
            raise
        except (NotTriedError, EngineError, CommandError) as error:
            raise NotTriedError(
                "{version} was not made live, as it could not be tested. {error}", version=version, error=error
            ) from None
        verdicts.unmark_failed(context, version)


def _require_live_passes(context: Context, live: str, version: str, error: RehearsalError) -> None:
    """Try the live version in the same way as one that failed; NotTriedError when the test fails for both."""
    reporter = context.reporter
    reporter.info("For comparison {live}, which is live, is tried in the same way.", live=live)
    try:
        _try(context, live)
    except RehearsalError as same:
        raise NotTriedError(
            "{version} was not made live, as it could not be tested: {live}, which is live, fails the same test. "
            "Correct the test, or what both versions need. {live}: {same} {version}: {error}",
            version=version,
            live=live,
            same=same,
            error=error,
        ) from None
    except (NotTriedError, EngineError, CommandError) as problem:
        reporter.warning("{live} could not be tried: {problem}", live=live, problem=problem)


def _try(context: Context, version: str) -> str:
    """Try a version as the settings say; return a few words on how it went, RehearsalError when it is not good."""
    return (_by_command if context.settings.rehearsal_command else _in_container)(context, version)


def preflight(settings: Settings) -> list[str]:
    """Return a sentence when versions are to be tried in a container, and something is missing for it."""
    if settings.rehearsal_command or not (settings.rehearsal_image or settings.rehearsal_like):
        return []
    missing = request_headers.with_secrets(settings.rehearsal_checks, settings.env_file)[1]
    try:
        with connected(_QUICK, otherwise=tr(_OTHERWISE)) as client:
            if settings.rehearsal_like:
                rehearsal_container.like(client, settings)
                return missing
            with (
                told_as(tr("find the image {rehearsal_image}", rehearsal_image=settings.rehearsal_image)),
                suppress(not_found()),
            ):
                client.images.get(settings.rehearsal_image)
                return missing
            return [
                *missing,
                tr(
                    "Docker has no image {rehearsal_image} (rehearsal.image). Build or pull it, or name another.",
                    rehearsal_image=settings.rehearsal_image,
                ),
            ]
    except (EngineError, NotTriedError) as error:
        return [*missing, str(error)]


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
    """Try a version in a container; give a few words on how it went. RehearsalError when it is not good.

    The container's own log goes into the run's then. Whatever happens, the container is gone afterwards.
    """
    settings, reporter = context.settings, context.reporter
    named = settings.rehearsal_checks or page_checks.DEFAULT
    checks, missing, mask = request_headers.with_secrets(named, settings.env_file)
    reporter.mask = reporter.mask.beside(mask)
    if missing:
        raise NotTriedError(" ".join(missing))
    with (
        rehearsal_copy.stage_version(context, version) as stage,
        connected(otherwise=tr(_OTHERWISE)) as client,
        rehearsal_container.container_for(client, context, stage) as container,
    ):
        _require_itself(container, stage)
        ends = time.monotonic() + settings.rehearsal_timeout
        try:
            ready = _answering(context, container, checks[0], ends)
            findings = page_checks.failing([ready], checks, reporter, ends)
            if findings:
                raise RehearsalError("The new version is not good: {told}.", told=page_checks.sentence_of(findings))
        except RehearsalError:
            _tell_log(container, reporter)
            raise
    return (
        tr("{count} pages answer as they must", count=len(checks))
        if len(checks) > 1
        else tr("{path} answers as it must", path=checks[0].path)
    )


def _require_itself(container: Container, stage: Stage) -> None:
    """See that the container shows the version that was staged: its path is in a tree that others can write.

    Only root can look; and an engine of another machine has none of this one's directories.
    """
    if os.geteuid() != 0 or not socket_path():
        return
    try:
        if _running(container) and not stage.shown_by(
            container.attrs["State"]["Pid"], container.labels[rehearsal_container.MOUNT_LABEL]
        ):
            raise rehearsal_container.exchanged_error()
    except OSError as error:
        # A container that has ended is reported by _answering; the engine may be late to notice.
        if _running(container) and Path(f"/proc/{container.attrs['State']['Pid']}").exists():
            raise NotTriedError(
                "The container for testing the version cannot be inspected: {error}.",
                error=error.strerror,
            ) from None


def _running(container: Container) -> bool:
    with told_as(tr("look at the container in which the version is tried")):
        container.reload()
    return bool(container.attrs["State"]["Running"])


def _answering(context: Context, container: Container, first: PageCheck, ends: float) -> Address:
    """Wait until the container answers its first check in any way, and say where."""
    settings, reporter = context.settings, context.reporter
    while True:
        if not _running(container):
            raise RehearsalError(
                "The container for testing the version ended (exit code {state}) before it answered. Its log is above.",
                state=container.attrs["State"]["ExitCode"],
            )
        address = _address(container, settings.rehearsal_port)
        with reporter.cancellation.interruptible():
            finding = page_checks.look(address, first, reporter.mask) if address else None
        if address and (finding is None or finding.ready):
            return address
        if time.monotonic() >= ends:
            if finding is None:
                raise NotTriedError("The container for testing the version got no address.")
            sentence = finding.sentence()
            raise RehearsalError(
                "The new version did not answer within {rehearsal_timeout} s (rehearsal.timeout): {said}.",
                rehearsal_timeout=settings.rehearsal_timeout,
                said=sentence,
            )
        with reporter.cancellation.interruptible():
            time.sleep(_PAUSE)


def _address(container: Container, port: int) -> Address | None:
    """Say where this machine reaches the container: its published port, or itself where its networks are internal."""
    published = container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or ()
    own = (Address(at, port) for at in addresses(container))
    return next((Address("127.0.0.1", int(entry["HostPort"])) for entry in published), next(own, None))


def _tell_log(container: Container, reporter: Reporter) -> None:
    """Pass on what the container said; that it cannot be had must not hide why the version is not good."""
    try:
        with told_as(tr("read the log of the container in which the version was tried")):
            lines = clean_lines(container.logs(tail=_LOG_LINES))
    except EngineError as error:
        return reporter.warning(str(error))
    reporter.info(tr("The container said:") if lines else tr("The container said nothing."))
    reporter.output(*lines)
