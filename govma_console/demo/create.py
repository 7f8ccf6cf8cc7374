"""Makes a sample site: repository, vendor tarballs, persistent folders, a version by the former script, settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from govma_console.demo.history import AUTHORS, BRANCH, Commit, demo_history, fast_import_stream
from govma_console.demo.sample_site import SampleSite, remove_sample, write_marker
from govma_core.errors import RefusedError, SourceError
from govma_core.settings import Settings, load

LEGACY_VERSION = "data-build--2021-09-03-00h03m29s"
"""The version that the former deploy script left; its name is local time."""

DATA = Path(__file__).parent
"""The folder of the files that the demo's site is made from."""

_STARTED = (2021, 9, 3, 0, 3, 29, 0, 0, -1)
_WEB_SERVER, _NODE = 33, 1000
_CONTAINERS = {"nginx": 101, "redis": 1001}
# Housekeeping in the background would race with a removal of the site.
_NO_GC = ("-c", "gc.auto=0")


def create_sample(
    root: Path,
    history: Sequence[Commit] | None = None,
    *,
    vendor: Path = DATA / "vendor",
    settings: str = "",
    legacy_version: bool = True,
) -> SampleSite:
    """Make a sample site in a folder that is new or empty, and return its paths.

    Without `history`, `vendor` (the folder with the content of both tarballs) and `settings` (a settings file with
    `{root}` for the folder) it is the demo's. With `legacy_version` a version by the former deploy script is live. As
    root the folders get the owners that they have in production.

    RefusedError when the folder is not empty; a creation that fails removes what it has made.
    """
    if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
        raise RefusedError(
            "{root} is not an empty folder; a sample site is only made in a new or empty one.", root=root
        )
    site, history = SampleSite.at(root), history or demo_history()
    site.root.mkdir(parents=True, exist_ok=True)
    write_marker(site.root)
    try:
        draft = site.root / "settings.draft"
        # JSON's way to write a string is TOML's as well.
        text = (settings or (DATA / "settings.toml").read_text()).replace("{root}", json.dumps(str(site.root))[1:-1])
        draft.write_text(text, encoding="utf-8")
        paths = load({}, file=draft).settings
        _make_parts(site, paths, history, vendor)
        if legacy_version:
            _add_legacy_version(site, paths, f"{BRANCH}~{len(history) - 1}", vendor)
        if os.geteuid() == 0:
            _set_owners(paths)
        # Last, because open_sample takes it as the sign of a complete site.
        draft.rename(site.config_file)
    except BaseException:
        remove_sample(site.root)
        raise
    return site


def _make_parts(site: SampleSite, paths: Settings, history: Sequence[Commit], vendor: Path) -> None:
    persistent = _persistent(paths).values()
    for folder in (paths.node_modules_dir, paths.vendor_dir, paths.state_dir, paths.versions_dir, *persistent):
        folder.mkdir(parents=True)
    paths.env_file.touch(0o600, exist_ok=False)
    paths.env_file.write_bytes((DATA / "environment").read_bytes())
    git("init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", site.remote, cwd=site.root)
    git("config", "gc.auto", "0", cwd=site.remote)
    git("fast-import", "--quiet", "--depth=0", cwd=site.remote, stdin=b"".join(fast_import_stream(history)))
    for target in (paths.source_dir, site.developer):
        _clone(site.remote, target)
    _add_compose_project(site, paths)
    for tarball, name in ((paths.ee_path, "ee"), (paths.themes_path, "themes")):
        with tarfile.open(tarball, "w:gz", compresslevel=1) as archive:
            archive.add(vendor / name, name)


def _add_compose_project(site: SampleSite, paths: Settings) -> None:
    """Clone the compose project of the site's containers, with the sample's folders in its `.env`."""
    target = paths.services_compose_dir
    if target is None or site.root not in target.parents:
        # The settings are others than the demo's, and mean the project of a real site.
        return
    _clone(site.remote, target)
    text = (target / ".env.sample").read_text().replace("=./", f"={site.root}/")
    (target / ".env").write_text(text)
    for line in text.splitlines():
        Path(line.partition("=")[2]).mkdir(exist_ok=True)
    if os.geteuid() == 0:
        for name, owner in _CONTAINERS.items():
            os.chown(site.root / "persistent-storage" / name, owner, owner)


def _clone(remote: Path, target: Path, *options: str) -> None:
    """Clone the remote's branch; the clone has an author, for commits by hand."""
    name, _, address = AUTHORS[0].removesuffix(">").partition(" <")
    author = ("-c", f"user.name={name}", "-c", f"user.email={address}")
    git("clone", "--quiet", "--template=", *_NO_GC, *author, *options, remote, target, cwd=remote.parent)


def git(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> str:
    """Run git in the folder, without the user's own configuration, and return its output; its errors are printed."""
    # A GIT_DIR that a hook has set, or the user's signing key, must not reach the sample site.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8"}
    command = ["git", *_NO_GC, *map(str, arguments)]
    try:
        process = subprocess.run(command, cwd=cwd, env=environment, input=stdin, stdout=subprocess.PIPE, check=True)
    except FileNotFoundError:
        raise SourceError("There is no git on this machine. Install it: apt-get install git.") from None
    return process.stdout.decode()


def _add_legacy_version(site: SampleSite, paths: Settings, commit: str, vendor: Path) -> None:
    """Make the version of a commit live as deploy.sh would have made it, without a manifest.

    The persistent folders get the files of the commit, and on top what people have uploaded since.
    """
    work = site.state_dir / ".legacy-build"
    _clone(site.remote, work, "--no-checkout")
    git("checkout", "--quiet", commit, cwd=work)
    # Compiled by the site's own script, so that the next deploy gives the same bytes where nothing changed.
    for task in ("docs", "prod"):
        subprocess.run(["sh", "tools/build.sh", task], cwd=work, check=True, capture_output=True)
    html, system = work / "data/html", work / "data/system"
    shutil.copytree(vendor / "ee", system / "ee")
    shutil.copytree(vendor / "themes", html / "themes", dirs_exist_ok=True)
    shutil.copy(paths.env_file, system / "user/config/.env")
    for name, folder in _persistent(paths).items():
        shutil.copytree(html / name, folder, dirs_exist_ok=True)
        shutil.rmtree(html / name)
        (html / name).symlink_to(f"../../../{name}")
    started = time.mktime(_STARTED)
    for path in (work / "data").rglob("*"):
        os.utime(path, (started, started), follow_symlinks=False)
    (work / "data").rename(paths.versions_dir / LEGACY_VERSION)
    (paths.versions_dir / "current-version").symlink_to(LEGACY_VERSION)
    shutil.rmtree(work)
    # One of them replaces a file that also comes with the repository: no deploy may bring that one back.
    shutil.copytree(DATA / "uploads", paths.upload_dir, dirs_exist_ok=True)


def _set_owners(paths: Settings) -> None:
    os.chown(paths.node_modules_dir, _NODE, _NODE)
    for folder in (paths.versions_dir, *_persistent(paths).values()):
        for path in (folder, *folder.rglob("*")):
            os.chown(path, _WEB_SERVER, _WEB_SERVER, follow_symlinks=False)


def _persistent(paths: Settings) -> dict[str, Path]:
    """Return the persistent folders by the names of the links that lead to them from a version."""
    folders = {"uploads": paths.upload_dir, "images": paths.image_dir}
    return {name: folder for name, folder in folders.items() if folder is not None}
