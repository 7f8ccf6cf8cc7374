"""The HTTP server with many clients at once: callers, followers, and clients that stall."""

from __future__ import annotations

import time
from pathlib import Path

from tests.benchmarks.harness import Row
from tests.support.crowds import HeldBuild, besiege, call_at_once, follow_together
from tests.support.server import Server

_CALLERS, _CALLERS_LINES = 200, 2_000
_FOLLOWERS, _FOLLOWERS_LINES = 100, 10_000
_HALF_OPEN, _STALLED, _STALLED_LINES = 300, 50, 60_000
_MIB = " MiB"


def measure(folder: Path) -> list[Row]:
    """Return the rows of the issue's table that take many clients."""
    return [*_callers(folder / "callers"), *_followers(folder / "followers"), *_siege(folder / "siege")]


def _callers(folder: Path) -> list[Row]:
    build = HeldBuild(folder, _CALLERS_LINES)
    with Server(build.site) as server:
        began = time.monotonic()
        runs, calls = call_at_once(server, build, _CALLERS)
        took = time.monotonic() - began
    whole = sum(map(build.told_whole, calls))
    what = f"{_CALLERS} callers at once, coalesce"
    return [
        Row(f"{what}: runs", f"{took:.1f} s in all", "", len(runs), 2),
        Row(f"{what}: complete logs", f"{_CALLERS_LINES:,} lines each", "", whole, _CALLERS, at_least=True),
    ]


def _followers(folder: Path) -> list[Row]:
    build = HeldBuild(folder, _FOLLOWERS_LINES)
    with Server(build.site) as server:
        began = time.monotonic()
        calls = follow_together(server, build, _FOLLOWERS)
        took = time.monotonic() - began
        peak = server.memory(peak=True)
    whole = sum(map(build.told_whole, calls))
    what = f"{_FOLLOWERS} followers of one run with {_FOLLOWERS_LINES:,} lines"
    return [
        Row(f"{what}: resident memory, at most", f"{took:.1f} s in all", "", peak, 80, _MIB),
        Row(f"{what}: complete logs", "", "", whole, _FOLLOWERS, at_least=True),
    ]


def _siege(folder: Path) -> list[Row]:
    build = HeldBuild(folder, _STALLED_LINES)
    with Server(build.site, requests_per_minute=10_000) as server:
        # Twice: what the first one makes Python's allocator keep, the second one uses again, unless it leaks.
        besiege(server, build, half_open=_HALF_OPEN, stalled=_STALLED)
        siege = besiege(server, build, half_open=_HALF_OPEN, stalled=_STALLED)
    served = build.told_whole(siege.honest) and siege.healthy == [200] * len(siege.healthy)
    late = sum(map(build.told_whole, siege.late))
    what = f"{_HALF_OPEN} half-open and {_STALLED} stalled clients"
    return [
        Row(f"{what}: run finishes, others served", "", "", float(served), 1, at_least=True),
        Row(f"{what}: complete logs for those who read at last", "", "", late, len(siege.late), at_least=True),
        Row(f"{what}: descriptors left when they are gone", "", "", siege.descriptors_left, 0),
        Row(
            f"{what}: memory left by a second such crowd",
            f"at most {siege.memory_peak:.1f} MiB meanwhile",
            "",
            siege.memory_grown,
            4,
            _MIB,
        ),
    ]
