"""A deploy without its builder, against the same steps in bash with git, rsync, chown, tar and mv."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from govma_core.events import StageFinished
from govma_core.runs.log import read_events
from govma_core.runs.store import RunStore
from tests.benchmarks.bash_deploy import deploy_by_script
from tests.benchmarks.harness import Row, console, run
from tests.support.sample import SampleSite, create_sample

_TIMES = 7


def measure(folder: Path) -> list[Row]:
    """Return the ratio on the machine's disk, a sync in both, and in memory, where no disk hides the work itself."""
    rows = [_compare(folder / "site", "disk")]
    with tempfile.TemporaryDirectory(prefix="govma-bench-", dir="/dev/shm") as memory:
        Path(memory).chmod(0o755)
        rows.append(_compare(Path(memory) / "site", "tmpfs"))
    return rows


def _compare(folder: Path, where: str) -> Row:
    site = create_sample(folder, files=2000, vendor_files=3200)
    enlarge(site)
    text = site.config_file.read_text()
    kept = [line for line in text.splitlines() if not line.startswith(("install_command", "build_", "asset_inputs"))]
    site.config_file.write_text("\n".join([*kept, 'install_command = "true"', "build_commands = []"]))
    ours, bash = [], []
    for number in range(_TIMES):
        _settle()
        ours.append(_deploy(site))
        _settle()
        bash.append(_script(site, number))
    files, size = _count(site)
    a, b = statistics.median(ours), statistics.median(bash)
    what = f"file work of a deploy, {files} files, {size / 1e6:.0f} MB, {where} ÷ bash"
    return Row(what, f"{a:.2f} s", f"{b:.2f} s", a / b, 0.6)


def _settle() -> None:
    """Let the file system finish with what was deleted before: ext4 makes files much more slowly meanwhile."""
    os.sync()
    time.sleep(2)


def enlarge(site: SampleSite) -> None:
    """Bring the version to the 60 MB of a real one: larger static files, as a real site's images are."""
    block = os.urandom(150_000)
    site.commit({f"data/html/assets/large/{n}.bin": bytes([n]) + block for n in range(200)}, "Imagens")


def _deploy(site: SampleSite) -> float:
    """Deploy by the command; give the seconds of all stages but the builder's."""
    run(console(site.config_file, "deploy"))
    store = RunStore(site.state_dir)
    events = (event for event, _ in read_events(store.path(store.find(None).id) / "events.jsonl"))
    stages = [event for event in events if isinstance(event, StageFinished)]
    return sum(stage.seconds for stage in stages if stage.stage.partition("/")[0] != "assets")


def _script(site: SampleSite, number: int) -> float:
    began = time.perf_counter()
    deploy_by_script(site, number)
    return time.perf_counter() - began


def _count(site: SampleSite) -> tuple[int, int]:
    found = [
        os.lstat(os.path.join(at, name))
        for at, _, names in os.walk(site.versions_dir / "current-version/")
        for name in names
    ]
    return len(found), sum(info.st_size for info in found)
