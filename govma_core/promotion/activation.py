"""The activation of a version: the web servers are reloaded, and asked until they serve it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from govma_core.context import Context
from govma_core.errors import CommandError, UnsafeTreeError
from govma_core.fs import safefs
from govma_core.process.shell import execute
from govma_core.promotion import page_checks, proof, request_headers, web_servers
from govma_core.promotion.proof import Question
from govma_core.promotion.web_page import Address
from govma_core.promotion.web_servers import Server
from govma_core.settings import Settings
from govma_core.settings.validate import PageCheck
from govma_core.text.language import tr
from govma_core.versions.remove import remove_probes

_LEFT_OVER = 1.0
"""Seconds in which the workers of before are waited for, once the new version is proved."""


@dataclass(frozen=True, slots=True)
class Served:
    """What became known: a summary of the proof; why it is not proved; which checks fail that did not before.

    `certain` tells whether the proof would have worked before the switch: only then does its failure speak against the
    version. `judged`: the checks speak of the version, as no server that was asked serves the one before any more.
    `has_result` is False when no server was asked, so that nothing became known.
    """

    summary: str
    unproved: str = ""
    failing: str = ""
    certain: bool = False
    judged: bool = False
    has_result: bool = True

    @property
    def good(self) -> bool:
        """True when nothing speaks against it."""
        return not self.unproved and not self.failing


@dataclass(frozen=True, slots=True)
class Activation:
    """Everything that was looked at before the switch; `environment` is what commands get to know about it.

    `problems` has a sentence for each server, and each secret of a check, that was not found. `before` is the version
    that was live, '' when it is not known that those who are asked served it.
    """

    context: Context
    environment: Mapping[str, str]
    servers: Sequence[Server] = ()
    addresses: Sequence[Address] = ()
    problems: Sequence[str] = ()
    questions: Sequence[Question] = ()
    checks: Sequence[PageCheck] = ()
    before: str = ""
    failed_before: frozenset[tuple[Address, PageCheck]] = frozenset()

    def serve(self, version: str, since: float, *, check: bool = True) -> Served:
        """Reload, prove, and check unless `check` is False; `since` is time.monotonic() of the switch."""
        settings, reporter = self.context.settings, self.context.reporter
        if not settings.activated:
            reporter.info(
                "The web server was not reloaded, as [activation] is not set. PHP may keep serving the "
                "previous version for as long as its realpath cache lasts (120 s by default)."
            )
            return Served(tr("not asked"), has_result=False)
        with reporter.stage("activation") as remark:
            problems = [*self._reload(), *self._command()]
            for problem in (*self.problems, *problems):
                reporter.warning(problem)
            certain = bool(self.before) and not self.problems
            served = replace(self._proved(version, since, problems), certain=certain)
            (remark.warn if served.unproved else remark.note)(served.summary)
        if not check or not self.checks:
            return served
        with reporter.stage("checks") as remark:
            failing = self._checked()
            if failing:
                remark.outcome = "failed"
            elif not self.addresses:
                remark.warn("not asked")
            return replace(served, failing=failing)

    def _reload(self) -> list[str]:
        settings, reporter = self.context.settings, self.context.reporter
        servers = self.servers if settings.activation_reload else ()
        return [problem for server in servers for problem in server.reload(settings, reporter)]

    def _command(self) -> list[str]:
        settings = self.context.settings
        if not settings.activation_command:
            return []
        name, limit = "activation.command", settings.activation_timeout
        try:
            code = execute(settings.activation_command, name, self.environment, self.context.reporter, limit)
        except CommandError as error:
            return [str(error)]
        return [tr("{name} ended with exit code {code}.", name=name, code=code)] if code else []

    def _proved(self, version: str, since: float, problems: list[str]) -> Served:
        """Ask all servers; one that could not be found leaves it unproved, whatever the others say."""
        settings = self.context.settings
        missing = " ".join(self.problems)
        if not self.addresses:
            if missing:
                return Served(tr("not proved"), unproved=missing)
            if problems:
                return Served(tr("not proved"), unproved=" ".join(problems))
            self.context.reporter.info("Not checked whether it is served: activation.url is not set.")
            return Served(tr("not asked"), has_result=False)
        path = settings.activation_proof_path
        if not self.questions:
            return Served(tr("not proved"), unproved=tr("The probe could not be put into the version."))
        result = proof.prove(
            self.addresses,
            self.questions,
            version,
            self.before,
            since,
            settings.activation_timeout,
            self.context.reporter,
        )
        if result.problem or missing:
            reasons = [*self.problems, *problems, f"{result.problem}." if result.problem else ""]
            if result.problem and not path and not self.before:
                reasons.append(
                    tr(
                        "Nor did the site answer from {path} before. If it does not run other .php files than its own, "
                        "set activation.proof_path to a page that has the name of its version in it; if it answers "
                        "only requests with certain headers, name them in activation.checks (request_headers).",
                        path=self.questions[0].path,
                    )
                )
            unproved = " ".join(part for part in reasons if part)
            return Served(tr("not proved"), unproved=unproved, judged=not result.problem or result.changed)
        who = tr(", told by {workers} workers", workers=result.workers) if result.workers else ""
        return Served(
            tr(
                "served after {seconds:.1f} s{who}{left_over}",
                seconds=result.seconds,
                who=who,
                left_over=self._left_over(),
            )
        )

    def _left_over(self) -> str:
        """Wait a little for the workers of before, and say how many still finish what they have begun."""
        ends = time.monotonic() + _LEFT_OVER
        while (workers := sum(server.remaining_workers() for server in self.servers)) and time.monotonic() < ends:
            time.sleep(_LEFT_OVER / 10)
        return tr("; {left} of before still have a connection to finish", left=workers) if workers else ""

    def _checked(self) -> str:
        """Return what fails now and did not before; what failed before is a warning."""
        reporter = self.context.reporter
        if not self.addresses:
            reporter.warning("activation.checks cannot be asked: nobody who serves the site was found.")
        findings = page_checks.failing(self.addresses, self.checks, reporter, past_caches=True)
        telling = []
        for finding in findings:
            if not finding.tells:
                reporter.warning("{sentence}.", sentence=finding.sentence())
            elif finding.about in self.failed_before:
                reporter.warning("{sentence}; but that was so before the switch, too.", sentence=finding.sentence())
            else:
                telling.append(finding)
        return page_checks.sentence_of(telling)


@contextmanager
def prepare(
    context: Context, version: str, live: str | None, environment: Mapping[str, str], *, compare: bool = True
) -> Iterator[Activation]:
    """Look at everything before the switch from `live` (None: nothing) to `version`.

    It finds the web servers and the checks that fail already (unless `compare` is False), and has a probe in place for
    the time of the block. What cannot be found or written is reported after the switch: nothing here keeps an operator
    from rolling back.
    """
    settings = context.settings
    if not settings.activated:
        yield Activation(context, environment)
        return
    servers, problems = find_servers(settings)
    addresses = [server.address for server in servers if server.address is not None]
    if settings.activation_url:
        addresses = [Address.of_url(settings.activation_url, settings.activation_host)]
    checks, missing, mask = request_headers.with_secrets(settings.activation_checks, settings.env_file)
    context.reporter.mask = context.reporter.mask.beside(mask)
    headers = request_headers.headers_of(checks)
    compared = checks if live and compare else ()
    failed = page_checks.failing_already(addresses, compared, context.reporter)
    with ExitStack() as stack:
        path = settings.activation_proof_path
        names = [version, live] if live else [version]
        pages = [Question(path, names)] if path else _probe(context, stack, names) if addresses else ()
        questions = [replace(page, headers=headers) for page in pages]
        # A page may have both names in it.
        questions_before = [replace(questions[0], versions=[live])] if path and live else questions
        warm = [
            question
            for question in questions_before
            if live and proof.warm(addresses, question, live, context.reporter)
        ]
        before = live if live and warm and warm[0] is questions_before[0] else ""
        # A site need not serve static files from where PHP is.
        questions = [question for number, question in enumerate(questions) if number == 0 or question in warm]
        problems = [*problems, *missing]
        yield Activation(context, environment, servers, addresses, problems, questions, checks, before, failed)


def preflight(settings: Settings) -> list[str]:
    """Return a sentence for each container, and each secret of a check, that the settings name and is missing."""
    missing = request_headers.with_secrets(settings.activation_checks, settings.env_file)[1]
    return [*find_servers(settings)[1], *missing]


def find_servers(settings: Settings) -> tuple[Sequence[Server], Sequence[str]]:
    """Return the containers that serve the site, and a sentence for each that the settings name and is missing."""
    if not settings.activation_containers:
        return (), ()
    return web_servers.find(settings)


def _probe(context: Context, stack: ExitStack, names: list[str]) -> Sequence[Question]:
    """Put a probe into the versions for as long as the stack lasts; (), and a warning, where that cannot be."""
    try:
        versions = stack.enter_context(safefs.opened_root(context.settings.versions_dir))
        remove_probes(versions, names)
        return stack.enter_context(proof.place_probe(versions, names))
    except (OSError, UnsafeTreeError) as error:
        context.reporter.warning(
            "No probe could be put into {names}: {error}.", names=tr(" and ").join(names), error=error
        )
        return ()
