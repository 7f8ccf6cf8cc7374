"""The HTTP server beside the one it takes over from: throughput, delay, first byte, start, memory, crowds."""

from __future__ import annotations

import re
import statistics
import time
from pathlib import Path

from tests.benchmarks import server_crowds
from tests.benchmarks.harness import Row
from tests.support.calls import Call, Listens, gather, get
from tests.support.dispatcher import Dispatcher
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server, configure
from tests.support.waiting import wait_for

_LINES = 10_000
_STREAMS = 7
_SLOW_LINES = 300
_FIRST_BYTES = 31
_STARTS = 9
_MIB = " MiB"


def measure(folder: Path) -> list[Row]:
    """Return the rows of the issue's table."""
    rows = [*_stream(folder / "stream"), _delay(folder / "delay"), _first_byte(folder / "first")]
    rows += _start(folder / "start")
    return rows + server_crowds.measure(folder)


def site_that_runs(folder: Path, command: str) -> SampleSite:
    """Make a small site whose build begins with a shell command, and is never taken from the cache."""
    folder.mkdir()
    folder.chmod(0o755)
    site = create_sample(folder / "site", files=10, vendor_files=12)
    configure(site, install_command=command, asset_inputs=[])
    return site


def _stream(folder: Path) -> list[Row]:
    lines = folder / "lines"
    script = f'echo "began at $EPOCHREALTIME."; exec cat {lines}'
    site = site_that_runs(folder, f"bash -c '{script}'")
    lines.write_text("".join(f"line {n} of a build that says a lot about very little\n" for n in range(_LINES)))
    ours: list[tuple[float, float, float]] = []
    peers: list[tuple[float, float, float]] = []
    with Server(site) as server, Dispatcher(folder, script) as peer:
        for _ in range(_STREAMS):
            ours.append(_timed_lines(server))
            peers.append(_timed_lines(peer))
    line, command, whole = (statistics.median(times) for times in zip(*ours, strict=True))
    peer_line, peer_command, peer_whole = (statistics.median(times) for times in zip(*peers, strict=True))
    return [
        Row(f"{_LINES:,} lines streamed, first to last ÷ Go", _ms(line), _ms(peer_line), line / peer_line, 0.5),
        Row("the same, from the command's begin on ÷ Go", _ms(command), _ms(peer_command), command / peer_command, 0.5),
        Row("the whole request: a deploy here, the same lines there", _ms(whole), _ms(peer_whole), whole, 2, " s"),
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _timed_lines(server: Listens) -> tuple[float, float, float]:
    """Return the seconds to the last line: from the first line, from the command's begin, and those of the request."""
    began = time.monotonic()
    each = get(server, "/deploy")
    gather([each])
    ended = time.monotonic()
    each.close()
    first, last = each.data.find(b"line 0 of"), each.data.find(b"line %d of" % (_LINES - 1))
    if min(first, last) < 0 or each.body.count(b" of a build that") != _LINES:
        raise RuntimeError(f"lines are missing:\n{each.body[-2000:].decode()}")
    (clock,) = re.findall(rb"began at ([\d.]+)\.\n", each.data)
    there = _moment(each, last)
    command = there + time.time() - time.monotonic() - float(clock)
    return there - _moment(each, first), command, ended - began


def _moment(each: Call, offset: int) -> float:
    """Return the moment when the byte at this offset of the answer was there."""
    return next(at for at, length in each.arrivals if length > offset)


def _delay(folder: Path) -> Row:
    script = f'for i in {{1..{_SLOW_LINES}}}; do echo "written at $EPOCHREALTIME."; sleep 0.01; done'
    site = site_that_runs(folder, f"bash -c '{script}'")
    with Server(site) as server, Dispatcher(folder, script) as peer:
        ours, peers = _delays(server), _delays(peer)
    p99 = _percentile(ours, 0.99)
    return Row(
        f"delay of a line while a command prints {_SLOW_LINES} slowly, p99",
        f"median {statistics.median(ours) * 1000:.1f} ms",
        f"median {statistics.median(peers) * 1000:.1f}, p99 {_percentile(peers, 0.99) * 1000:.1f} ms",
        p99 * 1000,
        3,
        " ms",
    )


def _delays(server: Listens) -> list[float]:
    each = get(server, "/deploy")
    gather([each])
    each.close()
    offset = time.time() - time.monotonic()
    # Lines are never cut by the ends of chunks, neither here nor there.
    delays = [
        _moment(each, match.end() - 1) + offset - float(match[1])
        for match in re.finditer(rb"written at ([\d.]+)\.\n", each.data)
    ]
    if len(delays) != _SLOW_LINES:
        raise RuntimeError(f"{len(delays)} of {_SLOW_LINES} lines came")
    return delays


def _percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def _first_byte(folder: Path) -> Row:
    site = site_that_runs(folder, "true")
    ours: list[float] = []
    peers: list[float] = []
    with Server(site) as server, Dispatcher(folder, "echo deploying\ntrue") as peer:
        for _ in range(_FIRST_BYTES):
            ours.append(_until_first_byte(server))
            peers.append(_until_first_byte(peer))
            # The next request finds nothing going, here as there.
            wait_for(lambda: not server.runs.active(), "the run's end")
    first, peer_first = statistics.median(ours), statistics.median(peers)
    return Row(
        f"time to first byte ÷ Go, medians of {_FIRST_BYTES}",
        f"{first * 1000:.2f} ms",
        f"{peer_first * 1000:.2f} ms",
        first / peer_first,
        1.2,
    )


def _until_first_byte(server: Listens) -> float:
    began = time.monotonic()
    each = get(server, "/deploy")
    gather([each])
    each.close()
    return each.arrivals[0][0] - began


def _start(folder: Path) -> list[Row]:
    server = Server(site_that_runs(folder, "true"))
    durations = []
    for _ in range(_STARTS):
        began = time.monotonic()
        server.start()
        server.get("/healthz")
        durations.append(time.monotonic() - began)
        fresh = server.memory()
        server.stop()
    with server:
        for _ in range(3):
            server.get("/deploy")
        wait_for(lambda: not server.runs.active(), "the run's end")
        used = server.memory()
    return [
        Row(f"ready after start, median of {_STARTS}", "", "", statistics.median(durations), 0.5, " s"),
        Row("resident memory, idle after three deploys", f"{fresh:.1f} MiB before", "", used, 45, _MIB),
    ]
