"""Writers at work in one version while it is deduped again and again: what each wrote last is what is there."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.result import Result
from tests.support.corpus import Shape
from tests.support.deduping import (
    equal_to_one_other,
    follow,
    small_corpus,
    start_dedupe,
    start_writer,
    written_and_lost,
)

_SECONDS = 60.0
# Large enough for most files to be equal still when the dedupe comes to them.
_SHAPE = Shape(versions=5, files=4000, directories=200, size=8_000_000)


def sweep(folder: Path) -> Result:
    """Write in place, truncating, appending and by rename, as fast as it goes."""
    versions = small_corpus(folder, _SHAPE)
    mine, twin = equal_to_one_other(versions)
    stop = folder / "stop"
    linked = left = runs = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(start_writer(mine, stop, seed)) for seed in (0, 1)]
        try:
            until = time.monotonic() + _SECONDS
            while time.monotonic() < until:
                follow(mine, twin)
                run = start_dedupe(versions, folder / "state")
                out, errors = run.communicate(timeout=120)
                if run.returncode:
                    raise RuntimeError(errors.decode())
                done = json.loads(out)
                linked += done["linked"]
                left += sum(found["count"] for found in done["left"].values())
                runs += 1
        finally:
            stop.touch()
        counts = [written_and_lost(writer) for writer in writers]
    writes = sum(count for count, _ in counts)
    lost = sum(len(paths) for _, paths in counts)
    return Result(
        "dedupe while two processes write in a version",
        f"{runs} runs, {writes} writes",
        f"{linked} files linked, {left} left alone",
        lost,
        min(writes, linked),
    )
