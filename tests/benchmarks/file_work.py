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
from tests.benchmarks.harness import Row, console, run
from tests.support.sample import SampleSite, create_sample

_TIMES = 7

# What deploy.sh does, in its order, without the builder.
_SCRIPT = r"""
set -euo pipefail
cd "$SRC"
test -d data/system/user -a -d data/html
git diff --quiet; git diff --cached --quiet; test -z "$(git ls-files --others --exclude-standard)"
git pull --quiet origin main
rm -rf "$WORK"; mkdir "$WORK"
rsync -a "$SRC/" "$WORK/"
[ "$(id -u)" != 0 ] || chown -R 1000:1000 "$WORK"
rm -rf "$WORK/node_modules"
tar xzf "$EE" -C "$WORK/data/system"
tar xzf "$THEMES" -C "$WORK/data/html"
cp "$ENVFILE" "$WORK/data/system/user/config/.env"
[ "$(id -u)" != 0 ] || chown -R 33:33 "$WORK/data"
cd "$WORK/data/html"
for name in uploads images; do
    [ $name = uploads ] && target="$UPLOADS" || target="$IMAGES"
    rsync -a $name/ "$target/"; rm -rf $name; ln -s ../../../$name $name
    [ "$(id -u)" != 0 ] || chown -h 33:33 $name
done
mv "$WORK/data" "$VERSIONS/$NAME"
cd "$VERSIONS"
ln -s "$NAME" symlink_new_link
[ "$(id -u)" != 0 ] || chown -h 33:33 symlink_new_link
mv -T symlink_new_link current-version
find current-version/system/user/ \( -name '*.css' -o -name '*.js' \) -exec touch {} +
"""


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
    return sum(event.seconds for event in events if isinstance(event, StageFinished) and event.stage != "assets")


def _script(site: SampleSite, number: int) -> float:
    environment = {
        "SRC": site.source_dir,
        "WORK": site.work_dir,
        "EE": site.vendor_dir / "ee.6.0.6.patched-v2.tar.gz",
        "THEMES": site.vendor_dir / "themes.tar.gz",
        "ENVFILE": site.env_file,
        "UPLOADS": site.upload_dir,
        "IMAGES": site.image_dir,
        "VERSIONS": site.versions_dir,
        "NAME": f"data-build--2000-01-01-00h00m{number:02d}s",
    }
    exports = "".join(f"export {name}='{value}'\n" for name, value in environment.items())
    began = time.perf_counter()
    run(["bash", "-c", exports + _SCRIPT])
    run(["sync", "-f", str(site.versions_dir)])
    return time.perf_counter() - began


def _count(site: SampleSite) -> tuple[int, int]:
    found = [
        os.lstat(os.path.join(at, name))
        for at, _, names in os.walk(site.versions_dir / "current-version/")
        for name in names
    ]
    return len(found), sum(info.st_size for info in found)
