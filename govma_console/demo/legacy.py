"""The version that the former deploy script left behind, and what it and people put into the persistent folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from govma_console.demo.layout import SampleSite
from govma_console.demo.prose import Prose
from govma_console.demo.vendor import mode_of

LEGACY_VERSION = "data-build--2021-09-03-00h03m29s"
"""Name of the version; local time, as the script wrote it."""

_STARTED = (2021, 9, 3, 0, 3, 29, 0, 0, -1)
_SHARED = {"uploads": "../../../uploads", "images": "../../../images"}


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files below the folder, parents included."""
    made: set[str] = set()
    for path, data in files.items():
        name = os.path.join(folder, path)
        parent = os.path.dirname(name)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode_of(path))
        with open(descriptor, "wb") as file:
            file.write(data)


def create_legacy_version(site: SampleSite, tree: Mapping[str, bytes], vendor: Mapping[str, bytes]) -> None:
    """Make the version of that checkout, and `current-version`, as deploy.sh would have; no manifest.

    The persistent folders get what the checkout brings, and on top what people would have uploaded since.
    """
    work = site.root / "state/.legacy-build"
    write_tree(work, tree)
    # Compiled by the sample's own script, so that the next deploy gives the same bytes where nothing changed.
    for task in ("docs", "prod"):
        subprocess.run(["sh", "tools/build.sh", task], cwd=work, check=True, capture_output=True)
    data = work / "data"
    write_tree(data, {f"{'system' if path.startswith('ee/') else 'html'}/{path}": vendor[path] for path in vendor})
    shutil.copy(site.env_file, data / "system/user/config/.env")
    _publish_shared(data / "html" / "uploads", site.upload_dir)
    _publish_shared(data / "html" / "images", site.image_dir)
    for name, target in _SHARED.items():
        (data / "html" / name).symlink_to(target)
    _set_times(data)
    data.rename(site.versions_dir / LEGACY_VERSION)
    (site.versions_dir / "current-version").symlink_to(LEGACY_VERSION)
    shutil.rmtree(work)
    _people_upload(site.upload_dir)


def _publish_shared(folder: Path, persistent: Path) -> None:
    shutil.copytree(folder, persistent, dirs_exist_ok=True)
    shutil.rmtree(folder)


def _people_upload(uploads: Path) -> None:
    prose = Prose("pessoas")
    write_tree(
        uploads / "portal",
        {
            "edital 2021-07.txt": prose.text("Edital 07/2021"),
            # replaces a file that also comes with the repository: no deploy may bring that one back
            "logo.svg": prose.svg("Portal, nova marca"),
        },
    )


def _set_times(folder: Path) -> None:
    started = time.mktime(_STARTED)
    for parent, _, names in os.walk(folder):
        for name in names:
            os.utime(os.path.join(parent, name), (started, started), follow_symlinks=False)
    os.utime(folder, (started, started))
