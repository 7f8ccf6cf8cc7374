"""Sample sites for tests: the demo's layout, with as many files and in such variants as a test needs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from govma_console import demo
from govma_console.demo.create import DATA, LEGACY_VERSION
from govma_console.demo.create import git as git
from govma_console.demo.history import BRANCH
from tests.support.sample.content import history
from tests.support.sample.prose import SUBSITES
from tests.support.sample.vendor import write_vendor

__all__ = ["LEGACY_VERSION", "SUBSITES", "SampleSite", "create_sample", "files_below"]


@dataclass(frozen=True, slots=True)
class SampleSite(demo.SampleSite):
    """A sample site whose parts have names, whatever its settings file holds by then."""

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

    def commit(self, changes: Mapping[str, str | bytes | None], message: str, *, push: bool = True) -> str:
        """Write (or remove, where None) files in the developer clone, commit, push to main; return the sha.

        Files that git ignores are committed as well; no changes at all make an empty commit. ValueError for a path
        that leaves the clone or enters `.git`; FileNotFoundError for the removal of a file that is not there.
        """
        for path in changes:
            parts = PurePosixPath(path).parts
            if not parts or parts[0] in ("/", ".git") or ".." in parts:
                raise ValueError(f"{path!r} is not a path of a file in the repository")
        for path, data in changes.items():
            target = self.developer / path
            if data is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data.encode() if isinstance(data, str) else data)
        if changes:
            names = b"".join(os.fsencode(path) + b"\0" for path in changes)
            add = ("--literal-pathspecs", "add", "--all", "--force", "--pathspec-from-file=-", "--pathspec-file-nul")
            git(*add, cwd=self.developer, stdin=names)
        git("commit", "--quiet", "--allow-empty", "-m", message, cwd=self.developer)
        if push:
            git("push", "--quiet", "origin", f"HEAD:{BRANCH}", cwd=self.developer)
        return git("rev-parse", "HEAD", cwd=self.developer).strip()


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
    """Make a sample site in a folder that is new or empty; same arguments, same content.

    `builder` goes into the settings as it is, `base_image` into the builder's Dockerfile. With `npm` the assets are
    built by node and one small package from the registry, without it by a POSIX shell alone. `files` counts templates
    and assets in the repository, `vendor_files` the files in both tarballs (at least 12).
    """
    if files < 0 or vendor_files < 12:
        raise ValueError("a sample has no fewer than 0 files and 12 vendor files")
    with tempfile.TemporaryDirectory() as folder:
        write_vendor(Path(folder), vendor_files)
        demo.create_sample(
            root,
            history(files=files, base_image=base_image, npm=npm),
            vendor=Path(folder),
            settings=_settings(builder, npm),
            legacy_version=legacy_version,
        )
    return SampleSite.at(root)


def _settings(builder: str, npm: bool) -> str:
    lines = (DATA / "settings.toml").read_text().replace('"local"', f'"{builder}"').splitlines(keepends=True)
    # The compose project has a stack of its own for the tests.
    left_out = ("services.", *(("install_command", "build_commands") if npm else ()))
    return "".join(line for line in lines if not line.startswith(left_out))


def set_commands(sample: SampleSite, install: str) -> None:
    """Have the site built by one command."""
    text = sample.config_file.read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("install_command", "build_commands"))]
    sample.config_file.write_text("\n".join([*lines, f"install_command = '{install}'", "build_commands = []"]))


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below the folder by relative path, links left out."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
