"""A place to build in, with a real builder, its events kept; and a process that builds there until it is killed.

`python -m tests.support.builds <json>` runs the build that `Place.detached` describes.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest

from govma_core.building import build_script, work_dir
from govma_core.building.build_script import BuildJob
from govma_core.building.builder import Builder, make_builder
from govma_core.events import Event, LogLine
from govma_core.fs import safefs
from govma_core.reporting import Cancellation, Reporter
from govma_core.settings import Settings, from_plain, to_plain
from tests.support.engine import REPOSITORY
from tests.support.waiting import PATIENCE


def plain(line: str) -> str:
    """Return a line without the step and the time that BuildKit puts before what a command prints."""
    return re.sub(r"^#\d+ \d+\.\d+ ", "", line)


@dataclass
class Place:
    """A work dir, a kept node_modules and settings; every event of the builds here is kept."""

    root: Path
    settings: Settings
    events: list[Event] = field(default_factory=list)
    cancellation: Cancellation = field(default_factory=Cancellation)
    on_line: Callable[[str], None] = field(default=lambda line: None)

    @property
    def work(self) -> Path:
        return self.settings.work_dir

    @property
    def cache(self) -> Path:
        return self.settings.node_modules_dir

    @property
    def builder(self) -> Builder:
        return make_builder(self.settings)

    @property
    def reporter(self) -> Reporter:
        return Reporter(self._emit, self.cancellation)

    def set(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)

    def times_out_when(self, condition: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
        """Have build_timeout be over once the condition is true, and not before, however fast the machine is."""

        seconds = 0

        def now() -> float:
            # Again and again: it may be true before the clock of the build is set.
            nonlocal seconds
            seconds += self.settings.build_timeout if condition() else 0
            return seconds

        monkeypatch.setattr(build_script, "time", SimpleNamespace(monotonic=now))

    def build(self, *commands: str) -> None:
        """Build in the work dir, lent to the build's user as a deploy does it."""
        self.build_with(self.reporter, *commands)

    def build_with(self, reporter: Reporter, *commands: str) -> None:
        """Build, and tell this reporter."""
        self.lend()
        with safefs.opened_root(self.work) as fd:
            run_commands(self.settings, fd, commands, reporter)

    def lend(self) -> None:
        self.work.mkdir(exist_ok=True)
        self.work.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(self.work, *self.settings.build_owner)

    def lines(self, *levels: str) -> list[str]:
        return [plain(e.text) for e in self.events if isinstance(e, LogLine) and e.level in (levels or ("output",))]

    def when(self, line: str, action: Callable[[], None]) -> threading.Thread:
        """Do something in another thread once this line was printed; the thread is to be joined."""
        has_line = threading.Event()
        self.on_line = lambda text: has_line.set() if plain(text) == line else None

        def act() -> None:
            if has_line.wait(PATIENCE):
                action()

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    @contextmanager
    def cancelled_by_signal(self, line: str) -> Iterator[None]:
        """Ask for a cancel in a signal handler, as a runner does, once this line was printed."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.cancellation.request()

        before = signal.signal(signal.SIGUSR1, on_signal)
        try:
            thread = self.when(line, lambda: os.kill(os.getpid(), signal.SIGUSR1))
            yield
            thread.join()
        finally:
            signal.signal(signal.SIGUSR1, before)

    @contextmanager
    def detached(self, *commands: str, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        """Build in a process of its own, which prints the lines of the log; killed at the end.

        With a folder the builder is made ready from it before.
        """
        self.lend()
        description = json.dumps(
            {"settings": to_plain(self.settings), "commands": commands, "folder": folder and str(folder)}
        )
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.builds", description],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, LogLine):
            self.on_line(event.text)


def run_commands(settings: Settings, work_fd: int, commands: Sequence[str], reporter: Reporter) -> None:
    """Run commands one after the other in the work dir, each as a step."""
    builder = make_builder(settings)
    builder.prepare_modules(reporter)
    for number, command in enumerate(commands, start=1):
        reporter.info(f"$ {command}")
        work_dir.lend(work_fd, settings.build_owner if os.geteuid() == 0 else None)
        builder.build(job_of(command, number, settings.work_dir, work_fd), reporter)


def job_of(command: str, number: int = 1, tree: Path = Path("/nowhere"), tree_fd: int = -1) -> BuildJob:
    """Return the job of a command."""
    run_id = f"20260101-000000-{secrets.token_hex(2)}"
    return BuildJob(run_id, f"step-{number}", tree, tree_fd, command)


@contextmanager
def place(**settings: Any) -> Iterator[Place]:
    """Make a place that other users can reach too, which they cannot with pytest's own directories."""
    root = Path(tempfile.mkdtemp(prefix="govma-build-"))
    try:
        root.chmod(0o755)
        (root / "versions").mkdir()
        defaults: dict[str, Any] = {
            "versions_dir": root / "versions",
            "work_dir": root / "work",
            "build_timeout": int(PATIENCE),
        }
        yield Place(root, Settings(**(defaults | {"node_modules_dir": root / "kept"} | settings)))
    finally:
        shutil.rmtree(root)


def alive(pid: int) -> bool:
    """Tell whether the process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> None:
    description = json.loads(sys.argv[1])
    settings = from_plain(description["settings"])

    def emit(event: Event) -> None:
        if isinstance(event, LogLine):
            print(plain(event.text), flush=True)

    with safefs.opened_root(settings.work_dir) as fd:
        if description["folder"]:
            make_builder(settings).prepare(Path(description["folder"]), Reporter(emit))
        run_commands(settings, fd, description["commands"], Reporter(emit))


if __name__ == "__main__":
    main()
