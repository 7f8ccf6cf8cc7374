"""Makes a sample: repository, vendor tarballs, persistent folders, settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from govma_console.demo.content import history, tree_after
from govma_console.demo.layout import SampleSite, mark, remove_sample
from govma_console.demo.legacy import create_legacy_version
from govma_console.demo.repository import clone, create_remote
from govma_console.demo.vendor import write_tarballs
from govma_core.errors import RefusedError
from govma_core.text.language import tr

_WEB_SERVER = 33
_NODE = 1000
_ASSET_INPUTS = ["resources/**", "package*.json", "webpack.mix.js", "tools/**", "docker/builder/**"]
_ENVIRONMENT = """\
APP_DEBUG=0
DB_HOSTNAME=db
DB_DATABASE=portal
DB_USERNAME=portal
DB_PASSWORD="senha de exemplo"
REDIS_HOST=redis
"""


def create_sample(
    root: Path,
    *,
    builder: str = "local",
    base_image: str = "node:16-bullseye-slim",
    npm: bool = False,
    legacy_version: bool = True,
    files: int = 60,
    vendor_files: int = 40,
) -> SampleSite:
    """Make a sample site in a folder that is new or empty, and give its paths; same arguments, same content.

    builder goes into the settings as it is; base_image into the builder's Dockerfile. With npm the assets are built
    by node and one small package from the registry, without it by a POSIX shell alone. legacy_version adds a live
    version by the former deploy script. files counts templates and assets in the repository, vendor_files the files in
    both tarballs (at least 12). As root the folders get the owners that production has.

    RefusedError when the folder holds something; what was made is removed again when the creation fails.
    """
    if files < 0 or vendor_files < 12:
        raise ValueError("a sample has no fewer than 0 files and 12 vendor files")
    if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
        raise RefusedError(
            tr("{root} is not an empty folder; a sample site is only made in a new or empty one.", root=root)
        )
    site = SampleSite.at(root)
    site.root.mkdir(parents=True, exist_ok=True)
    mark(site.root)
    try:
        commits = history(files=files, base_image=base_image, npm=npm)
        _make_folders(site)
        create_remote(site.remote, commits)
        clone(site.remote, site.source_dir)
        clone(site.remote, site.developer)
        vendor = write_tarballs(site.vendor_dir, vendor_files)
        if legacy_version:
            create_legacy_version(site, tree_after(commits[:1]), vendor)
        if os.geteuid() == 0:
            _give_to_owners(site)
        # Last, because open_sample takes it as the sign of a finished sample.
        site.config_file.write_text(_settings(site, builder, npm), encoding="utf-8")
    except BaseException:
        remove_sample(site.root)
        raise
    return site


def _make_folders(site: SampleSite) -> None:
    persistent = (site.upload_dir, site.image_dir, site.versions_dir)
    for folder in (site.node_modules_dir, site.vendor_dir, site.state_dir, *persistent):
        folder.mkdir(parents=True)
    descriptor = os.open(site.env_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(_ENVIRONMENT)


def _give_to_owners(site: SampleSite) -> None:
    os.chown(site.node_modules_dir, _NODE, _NODE)
    for folder in (site.upload_dir, site.image_dir, site.versions_dir):
        os.chown(folder, _WEB_SERVER, _WEB_SERVER)
        for parent, folders, names in os.walk(folder):
            for name in (*folders, *names):
                os.chown(os.path.join(parent, name), _WEB_SERVER, _WEB_SERVER, follow_symlinks=False)


def _settings(site: SampleSite, builder: str, npm: bool) -> str:
    values: dict[str, object] = {
        "source_dir": site.source_dir,
        "versions_dir": site.versions_dir,
        "upload_dir": site.upload_dir,
        "image_dir": site.image_dir,
        "node_modules_dir": site.node_modules_dir,
        "env_file": site.env_file,
        "work_dir": site.work_dir,
        "vendor_dir": site.vendor_dir,
        "state_dir": site.state_dir,
        "builder": builder,
    }
    if not npm:
        values["install_command"] = "sh tools/build.sh install"
        values["build_commands"] = ["sh tools/build.sh docs", "sh tools/build.sh prod"]
    values["asset_inputs"] = _ASSET_INPUTS
    # JSON's strings and arrays of strings are TOML as well.
    return "".join(
        f"{name} = {json.dumps(value if isinstance(value, list) else str(value), ensure_ascii=False)}\n"
        for name, value in values.items()
    )
