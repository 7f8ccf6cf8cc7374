"""Peak memory of a deploy's own processes, with a huge file, a flood of log lines and a line without end."""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from pathlib import Path

from tests.benchmarks.harness import Row, console
from tests.support.sample import SampleSite, create_sample

OURS = ("python", "govma")
_KCMP = {"x86_64": 312, "aarch64": 272}[os.uname().machine]
_KCMP_VM = 1
_FLOOD = (
    "yes 'a line of a build that says a lot about very little' | head -n 200000; "
    "head -c 10000000 /dev/zero | tr '\\0' x"
)


def measure(folder: Path) -> list[Row]:
    """Return the peak of all our processes together, in MiB."""
    site = create_sample(folder / "site", files=2000, vendor_files=3200)
    _large_upload(site)
    text = site.config_file.read_text()
    kept = [line for line in text.splitlines() if not line.startswith("install_command")]
    site.config_file.write_text("\n".join([*kept, f"install_command = '''{_FLOOD}'''"]))
    peak = peak_memory(console(site.config_file, "deploy"), OURS)
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


def peak_memory(command: list[str], names: tuple[str, ...]) -> float:
    """Run the command; give the MiB of it and everything below it at their highest, sampled every few milliseconds.

    Only processes whose names begin so count: git and a build's own programs are not ours. What processes share is
    counted once.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(_memory(pid) for pid in _below(process.pid, names)))
            time.sleep(0.005)
    if process.returncode != 0:
        raise RuntimeError(f"{command[0]} exited with {process.returncode}")
    return peak / 1024


def _memory(pid: int) -> int:
    """Return the proportional set size in KiB (proc_pid_smaps_rollup(5))."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _below(pid: int, names: tuple[str, ...]) -> list[int]:
    try:
        name = Path(f"/proc/{pid}/comm").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    ours = [pid] if name.startswith(names) else []
    return ours + [
        below for child in map(int, children) if not _has_memory_of(child, pid) for below in _below(child, names)
    ]


def _has_memory_of(child: int, pid: int) -> bool:
    """Tell whether a child still works in its parent's memory, as between vfork(2) and exec; see kcmp(2)."""
    return bool(ctypes.CDLL(None).syscall(_KCMP, pid, child, _KCMP_VM, 0, 0) == 0)
