"""The real command, in a process of its own, on a site of a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.runs.store import RunRecord, RunStore
from tests.support.waiting import wait_for


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Command:
    """govma-console with one settings file; nothing of the machine's own configuration reaches it."""

    config: Path
    state_dir: Path

    def run(self, *arguments: str, **variables: str) -> Done:
        """Run it to its end."""
        result = subprocess.run(
            self.line(*arguments),
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in result.stderr, result.stderr
        return Done(result.returncode, result.stdout, result.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, in a session of its own as a terminal gives it."""
        return subprocess.Popen(
            self.line(*arguments),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "govma_console", "--config", str(self.config), *arguments]

    @property
    def runs(self) -> RunStore:
        return RunStore(self.state_dir)

    def wait_for_stage(self, stage: str) -> RunRecord:
        """Wait until a run is in this stage, or one below it, and give its record."""

        def there() -> RunRecord | None:
            record = self.runs.going()
            return record if record and record.stage.startswith(stage) else None

        return wait_for(there, f"a run in stage {stage}")

    def kill_runner(self, record: RunRecord) -> None:
        """Kill -9 the runner of a run, and wait until it is gone."""
        os.kill(record.pid, signal.SIGKILL)
        wait_for(lambda: not record.process.alive(), "the runner's end")


def environment(**variables: str) -> dict[str, str]:
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("GOV", "NODE_MODULES", "LISTEN"))
    }
    return others | variables
