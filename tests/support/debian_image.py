"""One Debian of a suite for all images of tests, with the packages of them all: made once; an image adds a layer."""

from __future__ import annotations

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from docker import DockerClient

from tests.support.engine import SYSTEM_PATH, Engine
from tests.support.images import CACHE, NODE_UID, ImageUnavailableError, digest, imported, provided

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""The releases that the tests know, and the Python of each."""


def release() -> str:
    """Return the code name of this machine's release where the tests know it, else that of Debian 12."""
    name = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    return name if name in PYTHONS else "bookworm"


SUITE = release()
"""What all images are made of: a machine of Debian 13 tests with servers of Debian 13."""
INCLUDE = (
    *("systemd", "systemd-sysv", "dbus", "polkitd", "python3", "git", "curl", "procps", "util-linux"),
    *("apache2", "libapache2-mod-php", "php-opcache"),
    *("pipx", "python3-venv", "make"),
    "openssh-server",
)
"""Packages of any of the images; what starts by itself is masked where systemd is."""
MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    f"--include={','.join(INCLUDE)}",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    f'--customize-hook=chroot "$1" useradd --create-home --uid {NODE_UID} --shell /bin/bash node',
)


def run_tool(argv: list[str], what: str) -> None:
    """Run a tool of the image making; raise ImageUnavailableError with its last line when it fails."""
    result = subprocess.run(
        argv,
        env={**os.environ, "PATH": SYSTEM_PATH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode != 0:
        last = result.stdout.strip().rpartition("\n")[2]
        raise ImageUnavailableError(f"{what} failed with {result.returncode}: {last or 'it gave no reason'}")


def kept(name: str, recipe: str, make: Callable[[Path, Path], None]) -> Path:
    """Return the file `<name>-<recipe>.tar` of the cache, made once; those of other recipes go.

    `make` writes the file that it is given first, and may use the directory that it is given second.
    """
    target = CACHE / f"{name}-{recipe}.tar"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=CACHE, prefix="building-") as work:
            made = Path(work) / "made.tar"
            make(made, Path(work))
            made.replace(target)
        for old in CACHE.glob(f"{name}-*.tar"):
            if old != target:
                old.unlink()
    return target


def debian(suite: str) -> Path:
    """Return the tar of Debian, made once; raise ImageUnavailableError when it cannot be made."""

    def bootstrap(target: Path, _: Path) -> None:
        if shutil.which("mmdebstrap", path=SYSTEM_PATH) is None:
            raise ImageUnavailableError("mmdebstrap is not installed (scripts/test-packages does it)")
        run_tool([*MMDEBSTRAP, suite, str(target)], "mmdebstrap")

    return kept(suite, _recipe(suite), bootstrap)


def _recipe(suite: str) -> str:
    return digest(suite, *MMDEBSTRAP)


@contextmanager
def debian_with(
    engine: Engine,
    name: str,
    layer: Callable[[Path, Path], None],
    recipe: str,
    *instructions: str,
    suite: str = SUITE,
) -> Iterator[str]:
    """Have an image of that name in the engine that adds a layer to Debian's suite; give its tag.

    `layer` makes a tar of files, kept under this name for as long as the recipe is the same; the instructions are
    lines of a Dockerfile. Raises ImageUnavailableError when it cannot be made.
    """
    base = _recipe(suite)
    image, whole = f"govma-test/{name}", digest(base, recipe, *instructions)

    def put(client: DockerClient) -> None:
        lines = (f"FROM govma-test/{suite}:{base}", "ADD layer.tar /", *instructions)
        with TemporaryDirectory(dir=CACHE, prefix="building-") as work:
            context = Path(work) / "context.tar"
            with tarfile.open(context, "w") as tar:
                add(tar, "Dockerfile", "\n".join(lines).encode())
                tar.add(kept(name, recipe, layer), "layer.tar")
            with context.open("rb") as file:
                client.images.build(fileobj=file, custom_context=True, tag=f"{image}:{whole}", rm=True, forcerm=True)

    with (
        imported(engine, f"govma-test/{suite}", base, lambda: debian(suite), ()),
        provided(engine, image, whole, put) as tag,
    ):
        yield tag


def add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file of root's to a tar."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    sys.stdout.write(f"{debian(sys.argv[1])}\n")
