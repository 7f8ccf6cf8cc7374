"""The proof of what is served, against a server whose answers are written down: mixed, wrong, late, and none."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from govma_core.errors import RunCancelled
from govma_core.masking import Mask
from govma_core.promotion import proof
from govma_core.promotion.proof import Proof, Question, prove, warm
from govma_core.promotion.web_page import Address
from govma_core.reporting import Cancellation, Reporter
from tests.support.releases import NAMES
from tests.support.waiting import PATIENCE

OLD, NEW = NAMES[:2]
PROBE = Question("/probe.php")
AT_ONCE = 8
SWITCHED = -1.0
"""When the switch was, on the clock below."""

Said = bytes | tuple[int, str] | float
"""What a request is answered with: a text with a status, a whole answer as it is, or nothing for so many seconds."""


class Clock:
    """The time of the proof: it passes in the pauses and where a script says so, however long answers take."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(proof, "time", clock)
    limit_answers(monkeypatch, PATIENCE)
    return clock


def limit_answers(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Have each answer waited for that long, before and after the switch."""
    monkeypatch.setattr(proof, "_PATIENCE_BEFORE", seconds)
    monkeypatch.setattr(proof._round, "__defaults__", (seconds,))


class _Server(ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


class Served:
    """A server that answers the requests of each round by `script`: called with the round and the number in it."""

    def __init__(self, script: Callable[[int, int], Said], label: str = "") -> None:
        self.requests: list[int] = []
        numbers = itertools.count()
        over = self._over = threading.Event()
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = next(numbers)
                served.requests.append(number)
                said = script(*divmod(number, AT_ONCE))
                if isinstance(said, float):
                    over.wait(said)
                elif isinstance(said, bytes):
                    self.wfile.write(said)
                else:
                    self.send_response(said[0])
                    self.end_headers()
                    self.wfile.write(said[1].encode())

            def log_message(self, *arguments: object) -> None:
                """Keep quiet."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.address = Address("127.0.0.1", self._server.server_address[1], label=label)
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01])
        self._thread.start()

    @property
    def asked(self) -> int:
        return len(self.requests)

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def serving(script: Callable[[int, int], Said], label: str = "") -> Iterator[Served]:
    served = Served(script, label)
    try:
        yield served
    finally:
        served.close()


def right(number: int = 0) -> Said:
    return 200, f"{NEW} worker{number}\n"


def old(number: int = 0) -> Said:
    return 200, f"{OLD} worker{number}\n"


def proved(
    *addresses: Address, timeout: float = 20.0, before: str = OLD, question: Question = PROBE, mask: Mask | None = None
) -> Proof:
    reporter = Reporter(lambda event: None, mask=mask)
    return prove(addresses, [question], NEW, before, SWITCHED, timeout, reporter)


@pytest.mark.parametrize(
    ("rounds", "needed"),
    [
        ("rr", 2),
        ("orr", 3),
        ("rorr", 4),  # One right round does not count for a later one.
        ("mrr", 3),
        ("rmomrr", 6),
    ],
)
def test_two_rounds_in_a_row_have_to_be_right(rounds: str, needed: int) -> None:
    """Guards the proof against a worker of before: `o` is a round of old answers, `m` one with a single old one."""

    def script(turn: int, number: int) -> Said:
        kind = rounds[turn]
        return old() if kind == "o" or (kind == "m" and number == 5) else right(number % 3)

    with serving(script) as served:
        result = proved(served.address)
    assert (result.problem, served.asked) == ("", needed * AT_ONCE)
    assert result.workers == 3


def test_workers_and_seconds_are_those_of_the_rounds_that_prove_it(clock: Clock) -> None:
    def script(turn: int, number: int) -> Said:
        clock.now = float(turn)
        return old() if turn == 1 and number == 7 else right(turn)

    with serving(script) as served:
        result = proved(served.address)
    assert result == Proof(2.0 - SWITCHED, workers=2), "rounds 2 and 3, not those before"


def test_a_proof_without_workers_counts_none() -> None:
    with serving(lambda turn, number: (200, NEW)) as served:
        assert proved(served.address).workers == 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (old(), OLD),
        ((200, f"{NEW}x worker"), f"{NEW}x"),
        ((200, f"x{NEW} worker"), f"x{NEW}"),
        ((200, ""), ""),
        ((200, "<h1>It works!</h1>"), "<h1>It"),
        ((200, "\x1b[31m\x00red"), "red"),
        ((404, f"{NEW} worker"), "status 404"),
        ((503, f"{NEW} worker"), "status 503"),
        (b"", "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "such as: SSH-2.0-OpenSSH_9.2)"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + NEW.encode(), "cut after 32 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + NEW.encode()[:-1], NEW[:-1]),
        (b"HTTP/1.1 200 OK\r\nX-Cache: HIT\r\n\r\n" + NEW.encode(), "from a cache (x-cache: HIT)"),
    ],
)
def test_one_wrong_answer_in_each_round_is_no_proof(said: Said, told: str) -> None:
    with serving(lambda turn, number: said if number == 3 else right()) as served:
        result = proved(served.address, timeout=0.2)
    assert f"1 of 8 answers were not of {NEW} after 0.2 s (such as: " in result.problem
    assert told in result.problem
    assert "\x1b" not in result.problem
    # What a cache has may be of any version.
    assert result.changed is (said != old() and "from a cache" not in told)


def test_a_server_that_hangs_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_answers(monkeypatch, 0.2)
    with serving(lambda turn, number: PATIENCE) as served:
        result = proved(served.address, timeout=0.0)
    assert f"8 of 8 answers were not of {NEW} after 0 s (such as: no whole answer within 0.2 s)" in result.problem
    assert result.changed


def test_what_was_said_is_masked_and_cut() -> None:
    mask = Mask(["geheim-123"])
    with serving(lambda turn, number: (200, "geheim-123" + "x" * 500)) as served:
        problem = proved(served.address, timeout=0.0, mask=mask).problem
    assert "geheim" not in problem
    assert len(problem) < 300


def test_one_right_round_at_the_end_of_the_time_is_too_few() -> None:
    with serving(lambda turn, number: right()) as served:
        result = proved(served.address, timeout=0.0)
    assert "0 of 8 answers" in result.problem
    assert "too few answers" in result.problem
    assert result.changed


@pytest.mark.parametrize(
    ("rounds", "before", "changed"),
    [
        ("oo", OLD, False),
        ("mm", OLD, False),
        ("ee", OLD, True),
        ("ee", "", False),  # Whether those who answer ever served it is not known.
        ("gg", "", False),
        ("oe", OLD, True),  # The last round tells.
        ("eo", OLD, False),
    ],
)
def test_a_failure_tells_whether_the_version_before_still_answers(
    clock: Clock, rounds: str, before: str, changed: bool
) -> None:
    """Guards what is made of checks that fail: `e` is a round of errors, `m` has one old answer in it, `g` garbage."""

    def script(turn: int, number: int) -> Said:
        if turn:
            clock.now = 1.0  # The second round ends after the time is over.
        kind = rounds[turn]
        return old() if kind == "o" or (kind == "m" and number == 2) else (200 if kind == "g" else 500, "x")

    with serving(script) as served:
        result = proved(served.address, timeout=0.5, before=before)
    assert served.asked == 2 * AT_ONCE
    assert result.changed is changed


def test_every_server_has_to_be_right_and_the_one_that_is_not_is_named() -> None:
    with serving(lambda turn, number: right()) as good, serving(lambda turn, number: (500, ""), "web-2") as bad:
        result = proved(good.address, bad.address, timeout=0.0)
        assert good.asked == bad.asked == AT_ONCE
    assert "8 of 16 answers" in result.problem
    assert "web-2: status 500" in result.problem


@pytest.mark.parametrize(("page", "is_right"), [(f"<b>{NEW}</b>", True), (f"<b>{OLD}</b>", False), ("none", False)])
def test_a_page_tells_its_version_wherever_it_stands(page: str, is_right: bool) -> None:
    with serving(lambda turn, number: (200, page)) as served:
        result = proved(served.address, timeout=20.0 if is_right else 0.0, question=Question("/p", [NEW, OLD]))
    assert bool(result.problem) is not is_right
    assert result.changed is (page == "none")


def test_a_cancellation_ends_the_asking() -> None:
    cancellation = Cancellation()

    def script(turn: int, number: int) -> Said:
        if turn == 1:
            with suppress(RunCancelled):
                cancellation.request()
        return old()

    with serving(script) as served, pytest.raises(RunCancelled):
        prove([served.address], [PROBE], NEW, OLD, 0.0, 20.0, Reporter(lambda event: None, cancellation))


@pytest.mark.parametrize(
    ("said", "is_warm"), [(old(), True), (right(), False), ((500, OLD), False), (b"", False), (PATIENCE, False)]
)
def test_the_version_before_was_served_when_all_answers_were_of_it(
    monkeypatch: pytest.MonkeyPatch, said: Said, is_warm: bool
) -> None:
    if said == PATIENCE:
        limit_answers(monkeypatch, 0.5)
    with serving(lambda turn, number: said if number == 6 else old()) as served:
        assert warm([served.address], PROBE, OLD, Reporter(lambda event: None)) is is_warm
