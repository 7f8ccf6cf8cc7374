"""A dedupe killed at random moments: after each, every file reads as before, and the next run finishes the work."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

from tests.faults.result import Result
from tests.support.deduping import contents, hidden, separate, small_corpus, start_dedupe

_KILLS = 200


def sweep(folder: Path) -> Result:
    """Kill the runner, or it and its workers, from its start to its end."""
    versions = small_corpus(folder)
    before = contents(versions)
    seconds = _whole(versions, folder / "state")
    lost = midway = leftovers = 0
    for number in range(_KILLS):
        separate(versions)
        run = start_dedupe(versions, folder / "state")
        time.sleep(random.uniform(0.2, 1.05) * seconds)
        if number % 2:
            run.send_signal(signal.SIGKILL)
        else:
            os.killpg(run.pid, signal.SIGKILL)
        run.communicate(timeout=60)
        midway += run.returncode == -signal.SIGKILL
        leftovers += bool(hidden(versions))
        lost += contents(versions) != before
        if number % 20 == 19:
            _whole(versions, folder / "state")
            lost += contents(versions) != before or bool(hidden(versions))
    return Result(
        "dedupe, kill -9 at a random moment; then every path read",
        f"{_KILLS} kills, {midway} before its end",
        f"{leftovers} times a hidden directory, gone after the next run",
        lost,
        midway,
    )


def _whole(versions: Path, state: Path) -> float:
    began = time.monotonic()
    run = start_dedupe(versions, state)
    _, errors = run.communicate(timeout=120)
    if run.returncode:
        raise RuntimeError(errors.decode())
    return time.monotonic() - began
