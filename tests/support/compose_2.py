"""Version 2 of compose: the machine's own, else the one that Debian 13 has, kept beside the images of tests."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tarfile
from pathlib import Path

from govma_core.services.programs import look
from tests.support.debian_image import kept, run_tool
from tests.support.images import ImageUnavailableError, digest

_SUITE, _PACKAGE = "trixie", "docker-compose"
_PLUGIN = "./usr/libexec/docker/cli-plugins/docker-compose"


def compose_2(directory: Path) -> Path:
    """Return a directory, made in this one, with nothing but `docker-compose` of version 2 in it, for PATH.

    Raises ImageUnavailableError where there is none to be had.
    """
    own = shutil.which("docker-compose")
    target = directory / "docker-compose"
    if own and next(look([own])).version[:2] not in ("", "1."):
        target.symlink_to(own)
        return directory
    with tarfile.open(kept("compose-2", digest(_SUITE, _PACKAGE), _download)) as tar:
        member = tar.extractfile(_PLUGIN)
        assert member is not None
        with target.open("wb") as file:
            shutil.copyfileobj(member, file)
    target.chmod(0o755)
    return directory


def _download(target: Path, work: Path) -> None:
    """Make a tar of the package's files, from where the machine has its own packages; its lists stay as they are."""
    if shutil.which("apt-get") is None:
        raise ImageUnavailableError("there is no apt-get here to get version 2 of compose with")
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    targets = ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {codename}", "Identifier: Packages"]
    places = subprocess.run(targets, capture_output=True, text=True, check=False).stdout.split()
    if not places:
        raise ImageUnavailableError("apt-get has no place to get version 2 of compose from")
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (work / "sources.list").write_text(f"deb [signed-by={keyring}] {places[0]} {_SUITE} main\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    options = (
        f"Dir::Etc::SourceList={work}/sources.list", "Dir::Etc::SourceParts=/dev/null",
        f"Dir::State::Lists={work}/lists", f"Dir::Cache={work}/cache", "APT::Sandbox::User=root",
    )  # fmt: skip
    apt = ["apt-get", "-q", *(f"-o{option}" for option in options)]
    run_tool([*apt, "update"], "apt-get update")
    run_tool(["env", "-C", str(work), *apt, "download", _PACKAGE], "apt-get download")
    package = next(work.glob(f"{_PACKAGE}_*.deb"))
    with target.open("wb") as file:
        subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], check=True, stdout=file)
