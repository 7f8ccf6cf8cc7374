"""Where the parts of a sample are, and the marker that says that a folder is one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from govma_console.demo.repository import commit_changes
from govma_core.errors import RefusedError
from govma_core.text.language import tr

_MARKER = ".govma-sample.json"
_KIND = "govma-console sample site"


@dataclass(frozen=True, slots=True)
class SampleSite:
    """The folders and files of one sample; all paths absolute."""

    root: Path
    """The folder that holds everything."""
    remote: Path
    """The bare repository, the `origin` of both clones."""
    developer: Path
    """A clone in which commits are made."""
    config_file: Path
    """A govma-console.toml with every setting that the sample needs."""

    @classmethod
    def at(cls, root: Path) -> SampleSite:
        """Return the paths of a sample in that folder, whether or not there is one."""
        root = root.resolve()
        return cls(root, root / "remote.git", root / "developer", root / "govma-console.toml")

    @property
    def source_dir(self) -> Path:
        """The clone that deploys pull."""
        return self.root / "build-env/gov-tech__ma"

    @property
    def node_modules_dir(self) -> Path:
        """The cache of npm packages."""
        return self.root / "build-env/gov_ma_node_modules"

    @property
    def work_dir(self) -> Path:
        """The folder that builds happen in; not made by the generator."""
        return self.root / "build-env/tmp-build"

    @property
    def vendor_dir(self) -> Path:
        """The folder of the vendor tarballs."""
        return self.root / "ci/vendor"

    @property
    def upload_dir(self) -> Path:
        """The persistent uploads."""
        return self.root / "persistent-storage/upload-dir"

    @property
    def image_dir(self) -> Path:
        """The persistent private uploads."""
        return self.root / "persistent-storage/images-dir"

    @property
    def versions_dir(self) -> Path:
        """The folder of the versions and the `current-version` link."""
        return self.root / "www_versions"

    @property
    def env_file(self) -> Path:
        """The settings of the CMS, copied into each version."""
        return self.root / "gov_ma_user_envfile"

    @property
    def state_dir(self) -> Path:
        """The folder of run records."""
        return self.root / "state"

    def commit(self, changes: Mapping[str, str | bytes | None], message: str, *, push: bool = True) -> str:
        """Write (or remove, where None) files in the developer clone, commit, push to main; give the sha.

        Files that git ignores are committed as well; no changes at all make an empty commit.
        """
        return commit_changes(self.developer, changes, message, push=push)


def mark(root: Path) -> None:
    """Write the marker that lets remove_sample remove the folder; the first thing in a new sample."""
    content = {"kind": _KIND, "root": str(root)}
    (root / _MARKER).write_text(json.dumps(content) + "\n", encoding="utf-8")


def open_sample(root: Path) -> SampleSite:
    """Return the sample that create_sample made in the folder; RefusedError when there is none, or only half of one."""
    site = SampleSite.at(root)
    _refuse_foreign(site.root)
    if not site.config_file.is_file():
        raise RefusedError(
            tr("{root} holds a sample site that was not finished: remove it (demo --remove {root}).", root=site.root)
        )
    return site


def remove_sample(root: Path) -> None:
    """Remove the folder and all in it, when create_sample made it right there; RefusedError otherwise.

    What was put into the folder afterwards goes as well.
    """
    if root.is_symlink():
        raise RefusedError(tr("{root} is a link, not the folder of a sample site; nothing was removed.", root=root))
    root = root.resolve()
    _refuse_foreign(root)
    with os.scandir(root) as entries:
        for entry in entries:
            if entry.name == _MARKER:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    # The marker goes last, so that an interrupted removal can be repeated.
    (root / _MARKER).unlink()
    root.rmdir()


def _refuse_foreign(root: Path) -> None:
    marker = root / _MARKER
    try:
        # Its settings are obeyed, perhaps by root: nobody else may have written them.
        if any(path.lstat().st_uid != os.geteuid() or path.lstat().st_mode & 0o022 for path in (root, marker)):
            raise ValueError
        if marker.is_symlink():
            raise ValueError
        content = json.loads(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = None
    # The path is part of the marker: a copy of a sample, marker included, may by now hold somebody's work.
    if content != {"kind": _KIND, "root": str(root)}:
        raise RefusedError(
            tr("{root} does not hold a sample site made there by this program; nothing was changed.", root=root)
        )
