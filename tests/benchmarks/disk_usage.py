"""The account of the versions against `du -s` of them all: the first time, and again when nothing has changed."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from govma_core.disk.usage import Usage
from govma_core.disk.usage import measure as account
from tests.benchmarks.disk_peers import SHAPE, dedupe_alone, disk_usage, fresh_corpus, settle
from tests.benchmarks.harness import Row, run

_TIMES = 7


def measure(folder: Path) -> list[Row]:
    """Return the ratios, in process, warm, on versions as they were written and then deduped."""
    versions = fresh_corpus(folder / "versions")
    rows = _rows(versions, folder / "cache", "undeduped", 1.0)
    run(dedupe_alone(versions, folder / "state"))
    return _rows(versions, folder / "cache", "deduped", 0.7) + rows


def _rows(versions: Path, cache: Path, what: str, goal: float) -> list[Row]:
    settle()
    peer, first, again = [], [], []
    whole = disk_usage(versions)
    for _ in range(_TIMES):
        peer.append(_seconds(lambda: disk_usage(versions)))
        shutil.rmtree(cache, ignore_errors=True)
        first.append(_seconds(lambda: _account(versions, cache, whole)))
        again.append(_seconds(lambda: _account(versions, cache, whole)))
    return [
        _row(f"account of {SHAPE.versions} {what} versions, first time ÷ `du -s`", first, peer, goal),
        _row(f"account of {SHAPE.versions} {what} versions, nothing changed ÷ `du -s`", again, peer, 0.12),
    ]


def _account(versions: Path, cache: Path, whole: int) -> Usage:
    found = account(versions, SHAPE.names, current=SHAPE.names[-1], cache_dir=cache)
    if found.real + found.others != whole:
        raise RuntimeError(f"the account says {found.real + found.others}, du {whole}")
    return found


def _row(what: str, ours: list[float], peer: list[float], goal: float) -> Row:
    a, b = statistics.median(ours), statistics.median(peer)
    return Row(what, f"{a * 1000:.0f} ms", f"{b * 1000:.0f} ms", a / b, goal)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
