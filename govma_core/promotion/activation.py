"""The activation of a version: those who serve the site are told of the switch, and asked until they serve it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from govma_core.context import Context
from govma_core.errors import CommandError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.process.shell import execute
from govma_core.promotion import page_checks, proof, web_servers
from govma_core.promotion.page_checks import Address
from govma_core.promotion.proof import Question
from govma_core.promotion.web_servers import Targets
from govma_core.settings.validate import PageCheck
from govma_core.text.language import tr

_LEFT_OVER = 1.0
"""Seconds in which the workers of before are waited for, once the new version is proved."""


@dataclass(frozen=True, slots=True)
class Served:
    """What became known: a few words on the proof; why it is not proved; which checks fail that did not before.

    `certain` tells whether the proof would have worked before the switch: only then does its failure speak against the
    version. `judged`: the checks speak of the version, as nobody who was asked serves the one before any more. `asked`
    is False when nobody was asked, so that nothing became known.
    """

    said: str
    unproved: str = ""
    failing: str = ""
    certain: bool = False
    judged: bool = False
    asked: bool = True

    @property
    def good(self) -> bool:
        """True when nothing speaks against it."""
        return not self.unproved and not self.failing


@dataclass(frozen=True, slots=True)
class Activation:
    """Everything that was looked at before the switch; `told` is what commands are told about it.

    `before` is the version that was live, '' when it is not known that those who are asked served it.
    """

    context: Context
    targets: Targets
    told: Mapping[str, str]
    question: Question | None = None
    before: str = ""
    failed_before: frozenset[tuple[Address, PageCheck]] = frozenset()

    def serve(self, version: str, since: float, *, check: bool = True) -> Served:
        """Reload, prove, and check unless told not to; `since` is time.monotonic() of the switch."""
        settings, reporter = self.context.settings, self.context.reporter
        if not settings.activated:
            reporter.info(
                tr(
                    "The web server was not reloaded, as [activation] is not set. PHP may keep serving the "
                    "previous version for as long as its realpath cache lasts (120 s by default)."
                )
            )
            return Served(tr("not asked"), asked=False)
        with reporter.stage("activation") as remark:
            problems = [*web_servers.reload(self.targets, settings, reporter), *self._command()]
            for problem in (*self.targets.problems, *problems):
                reporter.warning(problem)
            certain = bool(self.before) and not self.targets.problems
            served = replace(self._proved(version, since, problems), certain=certain)
            (remark.warn if served.unproved else remark.note)(served.said)
        if not check or not settings.activation_checks:
            return served
        with reporter.stage("checks") as remark:
            failing = self._checked()
            if failing:
                remark.outcome = "failed"
            elif not self.targets.addresses:
                remark.warn(tr("not asked"))
            return replace(served, failing=failing)

    def _command(self) -> list[str]:
        settings = self.context.settings
        if not settings.activation_command:
            return []
        name, limit = "activation.command", settings.activation_timeout
        try:
            code = execute(settings.activation_command, name, self.told, self.context.reporter, limit)
        except CommandError as error:
            return [str(error)]
        return [tr("{name} ended with exit code {code}.", name=name, code=code)] if code else []

    def _proved(self, version: str, since: float, problems: list[str]) -> Served:
        """Ask everybody; who could not be found leaves it unproved, whatever the others say."""
        settings = self.context.settings
        missing = " ".join(self.targets.problems)
        if not self.targets.addresses:
            if missing:
                return Served(tr("not proved"), unproved=missing)
            if problems:
                return Served(tr("not proved"), unproved=" ".join(problems))
            self.context.reporter.info(tr("Not checked whether it is served: activation.url is not set."))
            return Served(tr("not asked"), asked=False)
        path = settings.activation_proof_path
        names = [name for name in (version, self.before) if name]
        question = proof.page_question(path, *names) if path else self.question
        if question is None:
            return Served(tr("not proved"), unproved=tr("The probe could not be put into the version."))
        found = proof.prove(
            self.targets.addresses,
            question,
            version,
            self.before,
            since,
            settings.activation_timeout,
            self.context.reporter,
        )
        if found.problem or missing:
            said = [*self.targets.problems, *problems, f"{found.problem}." if found.problem else ""]
            unproved = " ".join(part for part in said if part)
            return Served(tr("not proved"), unproved=unproved, judged=not found.problem or found.changed)
        who = tr(", told by {workers} workers", workers=found.workers) if found.workers else ""
        return Served(
            tr(
                "served after {seconds:.1f} s{who}{left_over}",
                seconds=found.seconds,
                who=who,
                left_over=self._left_over(),
            )
        )

    def _left_over(self) -> str:
        """Wait a little for the workers of before, and say how many still finish what they have begun."""
        ends = time.monotonic() + _LEFT_OVER
        while (left := web_servers.left_over(self.targets)) and time.monotonic() < ends:
            time.sleep(_LEFT_OVER / 10)
        return tr("; {left} of before still have a connection to finish", left=left) if left else ""

    def _checked(self) -> str:
        """Return what fails now and did not before; what failed before is a warning."""
        found = _failing(self.context, self.targets)
        for finding in found:
            if finding.about in self.failed_before:
                self.context.reporter.warning(
                    tr("{sentence}; but that was so before the switch, too.", sentence=finding.sentence())
                )
        return page_checks.told(finding for finding in found if finding.about not in self.failed_before)


@contextmanager
def prepared(
    context: Context, version: str, live: str | None, told: Mapping[str, str], *, compare: bool = True
) -> Iterator[Activation]:
    """Look at everything before the switch from `live` (None: nothing) to `version`.

    Who serves the site, which checks fail already (unless nothing is to be compared with them), and a probe in place
    for the time of the block. What cannot be found or written is told after the switch: nothing here keeps anybody
    from rolling back.
    """
    settings = context.settings
    if not settings.activated:
        yield Activation(context, Targets(), told)
        return
    found = web_servers.find(settings)
    compared = settings.activation_checks if live and compare else ()
    failed = page_checks.failing_already(found.addresses, compared, context.reporter)
    with ExitStack() as stack:
        path = settings.activation_proof_path
        names = [version, live] if live else [version]
        question = None if path or not found.addresses else _probe(context, stack, names)
        asked = proof.page_question(path, live) if path and live else question
        warm = asked and live and proof.warm(found.addresses, asked, live, context.reporter)
        yield Activation(context, found, told, question, live if live and warm else "", failed)


def _probe(context: Context, stack: ExitStack, names: list[str]) -> Question | None:
    """Put a probe into the versions for as long as the stack lasts; None, and a warning, where that cannot be."""
    try:
        versions = stack.enter_context(safefs.opened_root(context.settings.versions_dir))
        proof.sweep(versions, names)
        return proof.probe_question(stack.enter_context(proof.placed(versions, names)))
    except (OSError, UnsafeTreeError) as error:
        context.reporter.warning(
            tr("No probe could be put into {names}: {error}.", names=tr(" and ").join(names), error=error)
        )
        return None


def _failing(context: Context, found: Targets) -> list[page_checks.Finding]:
    wanted = context.settings.activation_checks
    if wanted and not found.addresses:
        context.reporter.warning(tr("activation.checks cannot be asked: nobody who serves the site was found."))
    return page_checks.failing(found.addresses, wanted, context.reporter)
