"""The activation of a version: those who serve the site are told of the switch, and asked until they serve it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from govma_core import safefs
from govma_core.errors import CommandError, UnsafeTreeError
from govma_core.live import checks, probe, proof, targets
from govma_core.live.proof import Question
from govma_core.live.targets import Targets
from govma_core.operations.context import Context
from govma_core.operations.surroundings import variables
from govma_core.settings.page_check import PageCheck
from govma_core.shell.command import execute


@dataclass(frozen=True, slots=True)
class Served:
    """What became known: a few words on the proof; why it is not proved; which checks fail that did not before."""

    said: str
    unproved: str = ""
    failing: str = ""

    @property
    def good(self) -> bool:
        """True when nothing speaks against it."""
        return not self.unproved and not self.failing


@dataclass(frozen=True, slots=True)
class Activation:
    """Everything that was looked at before the switch."""

    context: Context
    targets: Targets
    question: Question | None
    failed_before: frozenset[PageCheck]

    def serve(self, version: str, *, check: bool = True) -> Served:
        """Reload, prove, and check unless told not to; call it right after the switch."""
        settings, reporter = self.context.settings, self.context.reporter
        since = time.monotonic()
        if not settings.activated:
            reporter.info(
                "Nobody was told of the switch: [activation] is not set. PHP may go on serving the version before for "
                "as long as its realpath cache lasts (120 s by default)."
            )
            return Served("not asked")
        with reporter.stage("activation") as remark:
            problems = [
                *self.targets.problems,
                *targets.reload(self.targets, settings, reporter),
                *self._command(version),
            ]
            for problem in problems:
                reporter.warning(problem)
            served = self._proved(version, since, problems)
            remark.note(served.said)
        if not check or not settings.activation_checks:
            return served
        with reporter.stage("checks") as remark:
            return replace(served, failing=self._checked())

    def _command(self, version: str) -> list[str]:
        settings = self.context.settings
        if not settings.activation_command:
            return []
        told = variables(self.context, version)
        name, limit = "activation.command", settings.activation_timeout
        try:
            code = execute(settings.activation_command, name, told, self.context.reporter, limit)
        except CommandError as error:
            return [str(error)]
        return [f"{name} ended with exit code {code}."] if code else []

    def _proved(self, version: str, since: float, problems: list[str]) -> Served:
        settings = self.context.settings
        if not self.targets.addresses:
            if settings.activation_containers:
                return Served(
                    "not proved", unproved=" ".join(problems) or "The containers have no address to be asked."
                )
            self.context.reporter.info("Whether it is served was not asked: activation.url is not set.")
            return Served("not asked")
        path = settings.activation_proof_path
        question = proof.page_question(path, version) if path else self.question
        if question is None:
            return Served("not proved", unproved="The probe could not be put into the version.")
        found = proof.prove(
            self.targets.addresses, question, version, since, settings.activation_timeout, self.context.reporter
        )
        if found.problem:
            return Served("not proved", unproved=f"{' '.join(problems)} {found.problem}.".lstrip())
        who = f", told by {found.workers} workers" if found.workers else ""
        return Served(f"served after {found.seconds:.1f} s{who}")

    def _checked(self) -> str:
        """Give what fails now and did not before; what failed before is a warning."""
        found = _failing(self.context, self.targets)
        for finding in found:
            if finding.check in self.failed_before:
                self.context.reporter.warning(f"{finding.sentence()}; but that was so before the switch, too.")
        return checks.told(finding for finding in found if finding.check not in self.failed_before)


@contextmanager
def prepared(context: Context, version: str, live: str | None) -> Iterator[Activation]:
    """Look at everything before the switch from `live` (None: nothing) to `version`.

    Who serves the site, which checks fail already, and a probe in place for the time of the block. What cannot be
    found or written is told after the switch: nothing here keeps anybody from rolling back.
    """
    settings = context.settings
    if not settings.activated:
        yield Activation(context, Targets(), None, frozenset())
        return
    found = targets.find(settings)
    failed = frozenset(finding.check for finding in _failing(context, found)) if live else frozenset()
    if settings.activation_proof_path or not found.addresses:
        yield Activation(context, found, None, failed)
        return
    with (
        safefs.opened_root(settings.versions_dir) as versions,
        _probe(context, versions, [version, live] if live else [version]) as question,
    ):
        if question and live:
            proof.warm(found.addresses, question)
        yield Activation(context, found, question, failed)


@contextmanager
def _probe(context: Context, versions: int, names: list[str]) -> Iterator[Question | None]:
    try:
        with probe.placed(versions, names) as placed:
            yield proof.probe_question(placed.path)
    except (OSError, UnsafeTreeError) as error:
        context.reporter.warning(f"No probe could be put into {' and '.join(names)}: {error}.")
        yield None


def _failing(context: Context, found: Targets) -> list[checks.Finding]:
    wanted = context.settings.activation_checks
    if wanted and not found.addresses:
        context.reporter.warning("activation.checks cannot be asked: nobody who serves the site was found.")
    return [finding for address in found.addresses for finding in checks.failing(address, wanted)]
