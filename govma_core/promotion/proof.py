"""Proof of what is served: the site is asked, several times at once, until every answer comes from the new version."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from govma_core.fs import safefs
from govma_core.promotion.web_page import Address, Headers, NoAnswerError, ask, cache_of
from govma_core.reporting import Reporter
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.remove import remove_probes

_AT_ONCE = 8
"""Requests to one address at the same time, so that several workers have to answer."""

_ROUNDS = 2
"""Rounds in a row in which all answers must be right: a worker of the time before may have been busy in one."""

_PAUSE = 0.05
_PATIENCE = 5.0
_PATIENCE_BEFORE = 2.0
"""Seconds for one answer after and before the switch: a site that hangs must not keep an operator from rolling back."""
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Question:
    """A page of the site that has the name of its version in it, one of `versions`; without these a probe.

    `headers` are those of the request.
    """

    path: str
    versions: Sequence[str] = ()
    headers: Headers = ()

    def parse(self, text: str) -> tuple[str, str]:
        """Return the version and the worker ('' when not told) that an answer comes from."""
        if self.versions:
            return next((name for name in self.versions if name in text), text.strip()), ""
        version, _, worker = text.strip().partition(" ")
        return version, worker


@dataclass(frozen=True, slots=True)
class Proof:
    """The result: seconds since the switch, workers that answered with the new version, what was wrong ('').

    `changed`: no answer of the last round came from the version that was live before, right or wrong.
    """

    seconds: float
    workers: int
    problem: str = ""
    changed: bool = False


@dataclass(frozen=True, slots=True)
class _Answer:
    """The version and worker of one answer, or what was wrong with it; from a cache it may be of any version."""

    version: str = ""
    worker: str = ""
    problem: str = ""
    is_cached: bool = False


def warm(addresses: Sequence[Address], question: Question, version: str, reporter: Reporter) -> bool:
    """Ask before the switch, so that PHP's caches and files kept open are those of a page that was visited.

    True when all answers were of `version`, the one that is live: then wrong ones after the switch say something.
    RunCancelled as soon as a cancellation is requested.
    """
    with ThreadPoolExecutor(_AT_ONCE * max(1, len(addresses))) as pool, reporter.cancellation.interruptible():
        answers = _round(pool, addresses, [question], _PATIENCE_BEFORE)
    return all(answer.version == version for answer in answers)


def prove(
    addresses: Sequence[Address],
    questions: Sequence[Question],
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
    with ThreadPoolExecutor(_AT_ONCE * len(addresses) * len(questions)) as pool:
        while True:
            answers = _round(pool, addresses, questions)
            wrong = [answer for answer in answers if answer.version != version]
            if wrong:
                right, workers = 0, set()
            else:
                first = first if right else time.monotonic() - since
                right += 1
                workers |= {answer.worker for answer in answers if answer.worker}
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
                        count2=len(answers),
                        version=version,
                        timeout=timeout,
                        said=reporter.mask(clean_line(such))[:_LONGEST],
                    ),
                    bool(before) and not any(answer.version == before or answer.is_cached for answer in answers),
                )
            with reporter.cancellation.interruptible():
                time.sleep(_PAUSE)


def _round(
    pool: ThreadPoolExecutor, addresses: Sequence[Address], questions: Sequence[Question], patience: float = _PATIENCE
) -> list[_Answer]:
    """Ask all addresses all questions at once; return the answers."""

    def once(address: Address, question: Question) -> _Answer:
        try:
            answer = ask(address, question.path, headers=question.headers, timeout=patience, past_caches=True)
        except NoAnswerError as error:
            return _Answer(problem=_whose(address, str(error)))
        if answer.status != 200:
            return _Answer(problem=_whose(address, tr("status {status}", status=answer.status)))
        if cache := cache_of(answer):
            return _Answer(problem=_whose(address, tr("from a cache ({header})", header=cache)), is_cached=True)
        version, worker = question.parse(answer.text)
        static = question.path.endswith(".txt") and not question.versions
        return _Answer(
            version,
            worker,
            tr("the static file {path} of {version}", path=question.path, version=version) if static else "",
        )

    pairs = [(address, question) for address in addresses for question in questions for _ in range(_AT_ONCE)]
    return list(pool.map(lambda pair: once(*pair), pairs))


def _whose(address: Address, problem: str) -> str:
    return f"{address.label}: {problem}" if address.label else problem


_PAGE = """<?php
header('Content-Type: text/plain');
header('Cache-Control: no-store');
if (function_exists('usleep')) { usleep(20000); }
$worker = function_exists('getmypid') ? getmypid() : 0;
echo basename(dirname(__DIR__)), ' ', substr(hash('sha256', '%s' . $worker), 0, 16), "\\n";
"""
"""It waits a little, so that requests at the same time meet different workers, and tells them apart without saying who
they are."""

# OPcache takes up no file that is younger than two seconds (opcache.file_update_protection).
_AGE = 3600


@contextmanager
def place_probe(versions_fd: int, versions: Sequence[str]) -> Iterator[tuple[Question, Question]]:
    """Have a page of PHP and a static file in the `html/` of these versions, gone after the block; give both questions.

    OSError or UnsafeTreeError when they cannot be written.
    """
    name = f"govma-probe-{secrets.token_hex(16)}"
    page, static = f"{name}.php", f"{name}.txt"
    content = (_PAGE % secrets.token_hex(16)).encode()
    try:
        first, *rest = versions
        with safefs.opened(versions_fd, first, "html") as html:
            _write(html, page, content)
            _write(html, static, first.encode())
            for other in rest:
                with safefs.opened(versions_fd, other, "html") as second:
                    os.link(page, page, src_dir_fd=html, dst_dir_fd=second, follow_symlinks=False)
                    _write(second, static, other.encode())
        yield Question(f"/{page}"), Question(f"/{static}")
    finally:
        remove_probes(versions_fd, versions)


def _write(html: int, name: str, content: bytes) -> None:
    fd = os.open(name, safefs.CREATE_FLAGS, 0o644, dir_fd=html)
    try:
        os.write(fd, content)
        os.fchmod(fd, 0o644)
        past = time.time() - _AGE
        os.utime(fd, (past, past))
    finally:
        os.close(fd)
