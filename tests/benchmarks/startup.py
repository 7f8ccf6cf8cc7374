"""`govma-console list` with 100 versions, whole process, against an interpreter that does nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.harness import Row, console, median, run
from tests.support.sample import create_sample

_HEAVY = {"textual", "docker", "git"}


def measure(folder: Path) -> list[Row]:
    """Return the ratio, and how many of the heavy libraries the command loads."""
    site = create_sample(folder / "site")
    (site.state_dir / "versions").mkdir(parents=True)
    fields = ("run", "commit", "subject", "author", "ref", "by", "origin")
    manifest = dict.fromkeys(fields, "some text") | {"committed": 1.0, "started": 1.0, "result": "published"}
    for number in range(99):
        name = f"data-build--2022-01-01-00h{number // 60:02d}m{number % 60:02d}s"
        for part in ("html", "system"):
            (site.versions_dir / name / part).mkdir(parents=True)
        (site.state_dir / "versions" / f"{name}.json").write_text(json.dumps(manifest | {"version": name}))
    command = console(site.config_file, "list")
    listed = run(command)
    if len(listed.splitlines()) != 101:
        raise RuntimeError(f"expected 100 versions and a header:\n{listed}")
    ours = median(15, lambda: run(command))
    peer = median(15, lambda: run([sys.executable, "-c", "pass"]))
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", *command], env=os.environ, capture_output=True, text=True, check=True
    ).stderr
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in loaded.splitlines()}
    return [
        Row(
            "`list` with 100 versions ÷ `python3 -c pass`",
            f"{ours * 1000:.0f} ms",
            f"{peer * 1000:.0f} ms",
            ours / peer,
            8,
        ),
        Row("heavy libraries that `list` loads", "", "", len(modules & _HEAVY), 0),
    ]
