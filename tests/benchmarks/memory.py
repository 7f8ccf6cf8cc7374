"""Peak memory of a deploy's own processes, with a huge file, a flood of log lines and a line without end."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

from govma_console.sample import SampleSite, create_sample
from tests.benchmarks.harness import Row, console

_FLOOD = (
    "yes 'a line of a build that says a lot about very little' | head -n 200000; "
    "head -c 10000000 /dev/zero | tr '\\0' x"
)


def measure(folder: Path) -> list[Row]:
    """Give the peak of command and runner together, in MiB."""
    site = create_sample(folder / "site", files=2000, vendor_files=3200)
    _large_upload(site)
    text = site.config_file.read_text()
    kept = [line for line in text.splitlines() if not line.startswith("install_command")]
    site.config_file.write_text("\n".join([*kept, f"install_command = '''{_FLOOD}'''"]))
    peak = _peak(console(site.config_file, "deploy"))
    return [
        Row(
            "peak memory of a deploy: 300 MB file, 200,000 lines, a 10 MB line", f"{peak:.0f} MiB", "", peak, 80, " MiB"
        )
    ]


def _large_upload(site: SampleSite) -> None:
    path = site.developer / "data/html/uploads/portal/film.bin"
    with path.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    site.commit({"data/html/uploads/portal/leia.txt": "x"}, "Filme")


def _peak(command: list[str]) -> float:
    """Run the command; add up the high-water marks of it and of its runner, sampled while they live."""
    marks: dict[int, int] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(process.pid, marks, done))
        watcher.start()
        code = process.wait()
        done.set()
        watcher.join()
    if code != 0:
        raise RuntimeError(f"the deploy exited with {code}")
    return sum(marks.values()) / 1024


def _watch(pid: int, marks: dict[int, int], done: threading.Event) -> None:
    while not done.wait(0.01):
        for found in (pid, *_runners(pid)):
            try:
                status = Path(f"/proc/{found}/status").read_text()
            except OSError:
                continue
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    marks[found] = int(line.split()[1])


def _runners(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
