"""Whether pages answer as the settings say they must."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from govma_core.promotion.web_page import Address, Answer, NoAnswerError, ask, cache_of
from govma_core.reporting import Reporter
from govma_core.settings.validate import PageCheck
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

NOT_READY = (502, 503, 504)
"""Statuses by which a gateway, or a site that is just starting, says that it is not ready yet."""

DEFAULT = (PageCheck(path="/"),)
"""What is looked at when the settings name nothing: the home page."""

_PAUSE = 0.1
_LONGEST = 160
_CONSIDERED = 4096
_AT_ONCE = 16
# Without a php.ini PHP shows its errors in the page, and answers 200.
_PHP_ERROR = re.compile(r"(?:<b>(?:Fatal|Parse) error</b>:|^(?:PHP )?(?:Fatal|Parse) error: ).*", re.MULTILINE)
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that failed, and how; `ready` is False while nothing answers, or a gateway for a site not ready yet.

    `tells` is False when it says nothing of the version: a cache answered.
    """

    address: Address
    check: PageCheck
    problem: str
    ready: bool = True
    tells: bool = True

    @property
    def about(self) -> tuple[Address, PageCheck]:
        """Return what was asked of whom."""
        return self.address, self.check

    def sentence(self) -> str:
        """Say which page it is about, of whom, and what it did."""
        whose = tr(" of {label}", label=self.address.label) if self.address.label else ""
        return f"{self.check.host}{self.check.path}{whose} {self.problem}"


def look(
    address: Address, check: PageCheck, mask: Callable[[str], str], *, past_caches: bool = False
) -> Finding | None:
    """Ask for one page; None when it is as it must be. What is quoted of it went through `mask`."""
    try:
        answer = ask(
            address,
            check.path,
            host=check.host,
            headers=check.request_headers,
            timeout=check.timeout,
            past_caches=past_caches,
        )
    except NoAnswerError as error:
        return Finding(address, check, tr("did not answer: {error}", error=error), ready=False)
    problem = _problem(check, answer, mask)
    if not problem and past_caches and (cache := cache_of(answer)):
        problem = tr("came from a cache ({header}), which tells nothing of the version", header=_short(cache, mask))
        return Finding(address, check, problem, tells=False)
    return Finding(address, check, problem, ready=answer.status not in NOT_READY) if problem else None


def failing(
    addresses: Sequence[Address],
    checks: Sequence[PageCheck],
    reporter: Reporter,
    ends: float = 0.0,
    *,
    past_caches: bool = False,
) -> list[Finding]:
    """Ask all addresses for all pages, each once more when it fails; give what is not as it must be.

    A site that is not ready yet is asked again until `ends` (time.monotonic()). RunCancelled as soon as a cancellation
    is requested.
    """
    findings = []
    for address in addresses:
        for check in checks:
            with reporter.cancellation.interruptible():
                finding = _twice(address, check, reporter, past_caches=past_caches)
                while finding and not finding.ready and time.monotonic() < ends:
                    time.sleep(_PAUSE)
                    finding = look(address, check, reporter.mask, past_caches=past_caches)
            if finding:
                findings.append(finding)
    return findings


def failing_already(
    addresses: Sequence[Address], checks: Sequence[PageCheck], reporter: Reporter
) -> frozenset[tuple[Address, PageCheck]]:
    """Ask all addresses for all pages at once, past caches, as patiently as `failing` does, and give what fails."""
    pairs = [(address, check) for address in addresses for check in checks]
    if not pairs:
        return frozenset()
    with ThreadPoolExecutor(min(len(pairs), _AT_ONCE)) as pool:
        findings = pool.map(lambda pair: _twice(pair[0], pair[1], reporter, past_caches=True), pairs)
        return frozenset(finding.about for finding in findings if finding and finding.tells)


def _twice(address: Address, check: PageCheck, reporter: Reporter, *, past_caches: bool) -> Finding | None:
    first = look(address, check, reporter.mask, past_caches=past_caches)
    return first and look(address, check, reporter.mask, past_caches=past_caches)


def sentence_of(findings: Iterable[Finding]) -> str:
    """Return findings in one sentence."""
    return "; ".join(finding.sentence() for finding in findings)


def _problem(check: PageCheck, answer: Answer, mask: Callable[[str], str]) -> str:
    """Say what is wrong with an answer, '' when nothing is."""
    text = answer.text
    error = _PHP_ERROR.search(text)
    if error and not (check.contains and check.contains in error.group()):
        return tr(
            "answered {status} with a PHP error: {short}", status=answer.status, short=_short(error.group(), mask)
        )
    if answer.status != check.status:
        place = answer.headers.get("location", "")
        return tr(
            "answered {status}{more}, not {status2}",
            status=answer.status,
            more=tr(" (to {short})", short=_short(place, mask)) if place else "",
            status2=check.status,
        )
    if check.status == 200 and not answer.body.strip():
        return tr("answered 200 with an empty page")
    if check.contains and check.contains not in text:
        return tr("does not contain {contains!r}", contains=check.contains)
    if check.lacks and check.lacks in text:
        return tr("contains {lacks!r}, which it must not", lacks=check.lacks)
    return _header_problem(check.header, answer, mask)


def _header_problem(expected: str, answer: Answer, mask: Callable[[str], str]) -> str:
    name, _, value = (part.strip() for part in expected.partition(":"))
    if not name:
        return ""
    value_sent = answer.headers.get(name.lower())
    if value_sent is None:
        return tr("has no header {name}", name=name)
    return (
        tr("has {name}: {short}, not {value!r}", name=name, short=_short(value_sent, mask), value=value)
        if value not in value_sent
        else ""
    )


def _short(text: str, mask: Callable[[str], str]) -> str:
    """Return the beginning of what a page said. A secret that was cut in two could not be masked."""
    # A page of four million `<` would keep the search for tags busy for hours.
    text = text if len(text) <= _CONSIDERED else text[:_CONSIDERED] + "…"
    text = mask(clean_line(" ".join(_TAG.sub("", text).split())))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
