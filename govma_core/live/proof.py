"""Proof of what is served: asked again and again, by several at once, until every answer comes from the new version."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from govma_core.language import tr
from govma_core.live.pages import Address, NoAnswerError, ask
from govma_core.reporting import Reporter
from govma_core.text import clean_line

_AT_ONCE = 8
"""Requests to one address at the same time, so that several workers have to answer."""

_ROUNDS = 2
"""Rounds in a row in which all answers must be right: a worker of the time before may have been busy in one."""

_PAUSE = 0.05
_PATIENCE = 5.0
_PATIENCE_BEFORE = 2.0
"""Seconds for one answer after and before the switch: a site that hangs must not keep anybody from rolling back."""
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Question:
    """A page, and how its answer tells a version: `read` gives (version, worker), the worker '' when it is not told."""

    path: str
    read: Callable[[str], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Proof:
    """What the asking came to: seconds since the switch, workers that told the new version, what was wrong ('').

    `changed`: no answer of the last round came from the version that was live before, right or wrong.
    """

    seconds: float
    workers: int
    problem: str = ""
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _Told:
    """What one answer told: version and worker, or what was wrong."""

    version: str = ""
    worker: str = ""
    problem: str = ""


def probe_question(path: str) -> Question:
    """Ask a probe (see govma_core.live.probe)."""

    def read(text: str) -> tuple[str, str]:
        version, _, worker = text.strip().partition(" ")
        return version, worker

    return Question(path, read)


def page_question(path: str, *versions: str) -> Question:
    """Ask a page of the site that has the name of its version in it, one of `versions`."""
    return Question(path, lambda text: (next((name for name in versions if name in text), text.strip()), ""))


def warm(addresses: Sequence[Address], question: Question, version: str, reporter: Reporter) -> bool:
    """Ask before the switch, so that the caches hold what they would hold for a page that was visited.

    True when all answers were of `version`, the one that is live: then wrong ones after the switch say something.
    RunCancelled as soon as somebody asks for it.
    """
    with ThreadPoolExecutor(_AT_ONCE * max(1, len(addresses))) as pool, reporter.cancellation.interruptible():
        told = _round(pool, addresses, question, _PATIENCE_BEFORE)
    return all(found.version == version for found in told)


def prove(
    addresses: Sequence[Address],
    question: Question,
    version: str,
    before: str,
    since: float,
    timeout: float,
    reporter: Reporter,
) -> Proof:
    """Ask until all answers are of the version, `timeout` seconds at most; `since` is the switch's time.monotonic().

    `before` is the version that was live until then, '' when it is not known that it was served.
    """
    ends = time.monotonic() + timeout
    right = 0
    first = 0.0
    workers: set[str] = set()
    with ThreadPoolExecutor(_AT_ONCE * len(addresses)) as pool:
        while True:
            told = _round(pool, addresses, question)
            wrong = [found for found in told if found.version != version]
            if wrong:
                right, workers = 0, set()
            else:
                first = first if right else time.monotonic() - since
                right += 1
                workers |= {found.worker for found in told if found.worker}
            if right >= _ROUNDS:
                return Proof(first, len(workers))
            if time.monotonic() >= ends:
                such = wrong[0].problem or wrong[0].version if wrong else tr("too few answers")
                return Proof(
                    time.monotonic() - since,
                    len(workers),
                    tr(
                        "{count} of {count2} answers were not of {version} after {timeout:g} s (such as: {said})",
                        count=len(wrong),
                        count2=len(told),
                        version=version,
                        timeout=timeout,
                        said=reporter.mask(clean_line(such))[:_LONGEST],
                    ),
                    bool(before) and all(found.version != before for found in told),
                )
            with reporter.cancellation.interruptible():
                time.sleep(_PAUSE)


def _round(
    pool: ThreadPoolExecutor, addresses: Sequence[Address], question: Question, patience: float = _PATIENCE
) -> list[_Told]:
    """Ask all addresses at once; give what each answer told."""

    def once(address: Address) -> _Told:
        try:
            answer = ask(address, question.path, timeout=patience)
        except NoAnswerError as error:
            return _Told(problem=_whose(address, str(error)))
        if answer.status != 200:
            return _Told(problem=_whose(address, tr("status {status}", status=answer.status)))
        version, worker = question.read(answer.text)
        return _Told(version, worker)

    return list(pool.map(once, [address for address in addresses for _ in range(_AT_ONCE)]))


def _whose(address: Address, problem: str) -> str:
    return f"{address.label}: {problem}" if address.label else problem
