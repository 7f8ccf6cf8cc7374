"""From "lock taken" to "link switched", syncfs aside, on a version of a real site's size."""

from __future__ import annotations

import statistics
from itertools import cycle
from pathlib import Path

from govma_core.events import LogLine, StageStarted
from govma_core.runs.log import read_events
from govma_core.runs.store import RunStore
from tests.benchmarks.harness import Row, console, run
from tests.support.sample import create_sample

_TIMES = 10


def measure(folder: Path) -> list[Row]:
    """Return the median milliseconds of real promotions and rollbacks by the command."""
    site = create_sample(folder / "site", files=2000, vendor_files=3200)
    run(console(site.config_file, "deploy"))
    new = run(console(site.config_file, "deploy", "--rebuild")).strip()
    old = next(p.name for p in site.versions_dir.iterdir() if not p.is_symlink() and p.name != new)
    taken: list[float] = []
    for _, (operation, version) in zip(range(_TIMES), cycle([("rollback", old), ("promote", new)]), strict=False):
        run(console(site.config_file, operation, version))
        taken.append(_milliseconds(RunStore(site.state_dir)))
    slowest = max(taken)
    value = statistics.median(taken)
    return [
        Row("promote, rollback: lock taken to link switched, without syncfs", f"{value:.1f} ms",
            f"slowest {slowest:.1f} ms", value, 20, " ms")
    ]  # fmt: skip


def _milliseconds(store: RunStore) -> float:
    """Read from the run's own record: its start is when it had the lock, the log says when the link was switched."""
    record = store.find(None)
    events = [event for event, _ in read_events(store.path(record.id) / "events.jsonl")]
    switched = next(e for e in events if isinstance(e, LogLine) and e.text.startswith("current-version ->"))
    sync = float(switched.text.rpartition(" and ")[2].split()[0])
    if not any(isinstance(event, StageStarted) for event in events):
        raise RuntimeError("the run had no stage")
    return (switched.at - record.started) * 1000 - sync
