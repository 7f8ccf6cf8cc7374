"""The Docker engine and the compose of Debian 13: the machine's, or from its packages where this is a Debian 12."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.debian_image import SUITE, kept, run_tool
from tests.support.engine import Engine, private_engine
from tests.support.images import digest

CONTAINERD_STORE = "containerd-snapshotter"
"""The feature of the engine that keeps images in containerd's store, as new installations have it."""

_PROGRAMS = (
    "usr/bin/containerd", "usr/bin/containerd-shim-runc-v2", "usr/sbin/dockerd", "usr/sbin/docker-proxy",
    "usr/libexec/docker/cli-plugins/docker-compose",
)  # fmt: skip
"""Without runc, whose C library is newer than Debian 12's: the machine's own is of the same series."""
_MMDEBSTRAP = ("mmdebstrap", "--quiet", "--variant=extract", "--include=docker.io,docker-compose", "trixie")


def _extract(target: Path, work: Path) -> None:
    whole = work / "whole.tar"
    run_tool([*_MMDEBSTRAP, str(whole)], "mmdebstrap")
    with tarfile.open(whole) as packages, tarfile.open(target, "w") as tar:
        for name in _PROGRAMS:
            member = packages.getmember(f"./{name}")
            content = packages.extractfile(member)
            member.name = Path(name).name
            tar.addfile(member, content)


def tarball() -> Path:
    """Return a tar of the programs; ImageUnavailableError when they cannot be had."""
    return kept("debian-13-programs", digest(*_MMDEBSTRAP, *_PROGRAMS), _extract)


@contextmanager
def programs() -> Iterator[Path]:
    """Yield a directory with the programs, for the front of PATH; ImageUnavailableError when they cannot be had."""
    if SUITE == "trixie":
        yield Path("/usr/sbin")
        return
    with TemporaryDirectory(prefix="debian-13-", dir="/var/tmp") as directory:
        shutil.unpack_archive(tarball(), directory, filter="data")
        yield Path(directory)


@contextmanager
def engine_of_debian_13(*features: str) -> Iterator[Engine]:
    """Run the engine with these features; it, and compose, are in the environment meanwhile.

    Raises EngineUnavailableError or ImageUnavailableError when it cannot be started.
    """
    with programs() as directory, private_engine(directory, *features) as engine:
        before = {name: os.environ.get(name) for name in ("DOCKER_HOST", "PATH")}
        os.environ |= {"DOCKER_HOST": engine.host, "PATH": f"{directory}{os.pathsep}{before['PATH'] or os.defpath}"}
        try:
            yield engine
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
