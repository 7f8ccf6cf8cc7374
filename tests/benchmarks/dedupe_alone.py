"""The operation `dedupe` in this process, no runner: `python -m tests.benchmarks.dedupe_alone VERSIONS STATE`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from govma_core.context import Context
from govma_core.disk import dedupe
from govma_core.events import Event
from govma_core.reporting import Reporter
from govma_core.runs import recovery
from govma_core.settings import Settings


def _heard(event: Event) -> None:
    """Take an event as a runner would, and keep it from nobody."""


def main() -> None:
    """Dedupe and print what it came to, as JSON."""
    versions_dir, state_dir = map(Path, sys.argv[1:])
    state_dir.mkdir(parents=True, exist_ok=True)
    settings = Settings(versions_dir=versions_dir, state_dir=state_dir)
    context = Context(settings, Reporter(_heard), "benchmark", "benchmark", "test", time.time(), "dedupe")
    recovery.clear_versions(context)
    print(json.dumps(dict(dedupe.run(context).details)))


if __name__ == "__main__":
    main()
