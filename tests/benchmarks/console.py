"""The terminal app in a real pseudo-terminal: start, idle, a run that talks, a flood, a million lines."""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from govma_core.events import LogLine, RunFinished, StageStarted
from govma_core.process.proc import ProcessId
from govma_core.runs.log import EventLog
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import load
from tests.benchmarks.harness import Row, console
from tests.benchmarks.pty_session import Session
from tests.support.histories import many_versions
from tests.support.sample import create_sample

_BARE = """
from textual.app import App
from textual.widgets import DataTable
class Bare(App):
    def compose(self):
        yield DataTable(cursor_type="row")
    def on_mount(self):
        table = self.query_one(DataTable)
        table.add_columns("version", "commit", "subject", "author", "age", "size", "exclusive", "state", "by")
        for n in range(100):
            table.add_row(f"2021-01-{n:03d}", "0123456", "a subject", "somebody", "3d", "1.2M", "1.2M", "good", "root")
        self.animation_level = "none"
Bare().run()
"""
_STARTS = 9
_IDLE_SECONDS = 12.0
_TALK_SECONDS = 8.0
_FLOOD_SECONDS = 10.0


def measure(folder: Path) -> list[Row]:
    """Return the rows of the issue's table."""
    site = create_sample(folder / "site")
    many_versions(site.versions_dir, site.state_dir, 99)
    command = console(site.config_file)
    runs = RunStore(load({}, file=site.config_file).settings.state_dir)
    rows = [_start(command)]
    rows += _idle(command)
    rows += _talk(command, runs)
    rows.append(_flood(command, runs))
    rows.append(_million(command, runs))
    return rows


def _start(command: list[str]) -> Row:
    bare = [sys.executable, "-c", _BARE]
    ours: list[float] = []
    peer: list[float] = []
    for number in range(_STARTS):
        for line, taken in ((command, ours), (bare, peer)):
            with Session(line) as session:
                # Ready: a key that was pressed at once has moved the cursor, and that is on the screen.
                taken.append(session.until_answer(b"\x1b[B"))
            if number == 0:
                taken.clear()
    one, other = statistics.median(ours), statistics.median(peer)
    what = "console ready for keys, 100 versions ÷ bare Textual app with one DataTable of 100 rows"
    return Row(what, f"{one * 1000:.0f} ms", f"{other * 1000:.0f} ms", one / other, 1.5)


def _idle(command: list[str]) -> list[Row]:
    with Session(command) as session:
        session.until_answer(b"\x1b[B")
        session.settle(2.0)
        seconds, sent = session.use(_IDLE_SECONDS)
    return [
        Row("console idle, CPU", "", "", 100 * seconds / _IDLE_SECONDS, 0.5, " %"),
        Row("console idle, bytes to the terminal", "", "", sent, 0),
    ]


def _talk(command: list[str], runs: RunStore) -> list[Row]:
    with Session(command) as session, Talker(runs, 1_000):
        session.until_answer(b"\x1b[B")
        session.write(b"3")
        session.settle(2.0)
        seconds, sent = session.use(_TALK_SECONDS)
    return [
        Row("console during a run at 1,000 lines/s, CPU", "", "", 100 * seconds / _TALK_SECONDS, 8, " %"),
        Row("console during a run at 1,000 lines/s, 80x24", "", "", sent / _TALK_SECONDS / 1024, 25, " KiB/s"),
    ]


def _flood(command: list[str], runs: RunStore) -> Row:
    with Session(command) as session, Talker(runs, 50_000) as talker:
        session.until_answer(b"\x1b[B")
        session.write(b"3")
        session.settle(1.0)
        taken = []
        until = time.monotonic() + _FLOOD_SECONDS
        while time.monotonic() < until:
            # The times of the lines are shown and hidden: no update of its own changes that.
            taken.append(session.until_change(b"t"))
            session.settle(0.05)
    taken.sort()
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    what = f"key to repaint while {talker.rate:,} lines/s arrive, p99 of {len(taken)}"
    return Row(what, f"median {statistics.median(taken) * 1000:.0f} ms", "", p99 * 1000, 150, " ms")


def _million(command: list[str], runs: RunStore) -> Row:
    run = begin(runs)
    log = EventLog(runs.path(run.id) / "events.jsonl", 1 << 32)
    with Session(command) as session:
        session.until_answer(b"\x1b[B")
        session.write(b"3")
        session.settle(2.0)
        before = session.memory()
        for number in range(1_000_000):
            log.write(LogLine(time.time(), "output", f"line {number} of a build that says a lot about very little"))
        log.flush()
        session.until_shows("1,000,001 lines")
        # Once through it, too: what was looked at is not kept.
        for keys in (b"\x1b[H", b"/999999 of\r"):
            session.write(keys)
            session.settle(4.0)
        grown = session.memory() - before
    end(runs, run, log)
    return Row("console memory after 1,000,000 log lines, minus before", "", "", grown, 20, " MiB")


def begin(runs: RunStore) -> RunRecord:
    """Write the record of a run of this process."""
    process = ProcessId.current()
    run = runs.create("deploy", {}, "bench", "bench")
    run = dataclasses.replace(
        run, pid=process.pid, pid_started=process.started, boot=process.boot, state="running", started=time.time()
    )
    runs.write(run)
    log = EventLog(runs.path(run.id) / "events.jsonl", 1 << 20)
    log.write(StageStarted(time.time(), "assets"))
    log.close()
    return run


def end(runs: RunStore, run: RunRecord, log: EventLog) -> None:
    """Write down the end of such a run."""
    runs.write(dataclasses.replace(run, state="ok", exit_code=0, message="done", finished=time.time()))
    log.write(RunFinished(time.time(), "ok", 0, "done"))
    log.close()


class Talker:
    """A process that is a run whose build prints so many lines a second."""

    def __init__(self, runs: RunStore, rate: int) -> None:
        self._runs, self._wanted = runs, rate
        self.rate = rate

    def __enter__(self) -> Talker:
        line = [sys.executable, "-m", __name__, str(self._runs.state_dir), str(self._wanted)]
        self._process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._began = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        out, _ = self._process.communicate("")
        # What it really came to: on a busy machine it may be fewer than were wanted.
        self.rate = round(int(out) / (time.monotonic() - self._began))


def talk(runs: RunStore, rate: int) -> None:
    """Be such a run until standard input ends; print how many lines were written."""
    import select

    run = begin(runs)
    log = EventLog(runs.path(run.id) / "events.jsonl", 1 << 32)
    began, count = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], 0.01)[0]:
        while count < (time.monotonic() - began) * rate:
            for _ in range(max(1, rate // 500)):
                count += 1
                log.write(LogLine(time.time(), "output", f"line {count} of a build that says a lot about very little"))
    end(runs, run, log)
    print(count)


if __name__ == "__main__":
    os.umask(0o022)
    talk(RunStore(Path(sys.argv[1])), int(sys.argv[2]))
