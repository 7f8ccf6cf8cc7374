"""The bash script that deploys are measured against: what deploy.sh does, in its order."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.harness import run
from tests.support.sample import SampleSite

_BEFORE = r"""
set -euo pipefail
cd "$SRC"
test -d data/system/user -a -d data/html
git diff --quiet; git diff --cached --quiet; test -z "$(git ls-files --others --exclude-standard)"
git pull --quiet origin main
rm -rf "$WORK"; mkdir "$WORK"
rsync -a "$SRC/" "$WORK/"
[ "$(id -u)" != 0 ] || chown -R 1000:1000 "$WORK"
rm -rf "$WORK/node_modules"
"""
_AFTER = r"""
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


def deploy_by_script(site: SampleSite, number: int, build: str = "", **more: Path) -> None:
    """Deploy as version `number`, and wait for the disk; `build` are the lines that build, with `more` variables."""
    variables = {
        "SRC": site.source_dir,
        "WORK": site.work_dir,
        "EE": site.vendor_dir / "ee.6.0.6.patched-v2.tar.gz",
        "THEMES": site.vendor_dir / "themes.tar.gz",
        "ENVFILE": site.env_file,
        "UPLOADS": site.upload_dir,
        "IMAGES": site.image_dir,
        "VERSIONS": site.versions_dir,
        "NAME": f"data-build--2000-01-01-00h00m{number:02d}s",
        **more,
    }
    exports = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
    run(["bash", "-c", exports + _BEFORE + build + _AFTER])
    run(["sync", "-f", str(site.versions_dir)])
