"""The account of the versions against `du -s` of them all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from govma_core.disk.usage import measure as account
from tests.benchmarks.disk_peers import SHAPE, dedupe_alone, disk_usage, fresh_corpus, settle
from tests.benchmarks.harness import Row, run

_TIMES = 7


def measure(folder: Path) -> list[Row]:
    """Return the ratios, in process, warm, on versions as they were written and then deduped."""
    versions = fresh_corpus(folder / "versions")
    undeduped = _row(versions, "undeduped")
    run(dedupe_alone(versions, folder / "state"))
    return [_row(versions, "deduped"), undeduped]


def _row(versions: Path, kind: str) -> Row:
    settle()
    whole = disk_usage(versions)
    peer, ours = [], []
    for _ in range(_TIMES):
        peer.append(_seconds(lambda: disk_usage(versions)))
        ours.append(_seconds(lambda: _account(versions, whole)))
    a, b = statistics.median(ours), statistics.median(peer)
    what = f"account of {SHAPE.versions} {kind} versions ÷ `du -s`"
    return Row(what, f"{a * 1000:.0f} ms", f"{b * 1000:.0f} ms", a / b, 1.3)


def _account(versions: Path, whole: int) -> None:
    usage = account(versions, SHAPE.names)
    if usage.real + usage.others != whole:
        raise RuntimeError(f"the account says {usage.real + usage.others}, du {whole}")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
