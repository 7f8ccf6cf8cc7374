"""A server on which nothing is installed yet: what the README takes for granted, and its commands followed on it."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.support.engine import REPOSITORY, Engine
from tests.support.machine import COMMAND, Machine, machine_of
from tests.support.readme import commands
from tests.support.sample import SampleSite
from tests.support.systemd_image import requirements

HOME = "/root"
ADDRESS = "http://127.0.0.1:50024"
SETTINGS = "/etc/govma-console.toml"
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
_OTHERS = ("pip", "setuptools", "wheel", "hatchling", "editables")
"""What pip and pipx ask for by themselves, and to install from a clone."""


def add_wheels(folder: Path, *pythons: str) -> Path:
    """Add to a folder dist/ as `make wheel` makes it, and packages/ with what it needs of others for these Pythons."""
    (folder / "dist").mkdir()
    line = [*_PIP, "wheel", "--no-deps", "--wheel-dir", str(folder / "dist"), str(REPOSITORY)]
    subprocess.run(line, check=True)
    constraints = ("--constraint", str(REPOSITORY / "constraints.txt"))
    for python in pythons:
        options = ("--only-binary=:all:", "--python-version", python, "--dest", str(folder / "packages"))
        subprocess.run([*_PIP, "download", *options, *constraints, *requirements(), *_OTHERS], check=True)
    return folder


@contextmanager
def new_server(
    engine: Engine,
    image: str,
    wheels: Path,
    site: SampleSite,
    shared: Mapping[str, str] = MappingProxyType({}),
    network: str = "none",
) -> Iterator[Machine]:
    """Boot a machine that has the site, its settings, and the wheels in the home of root."""
    with machine_of(engine, image, {str(site.root): str(site.root), **shared}, network) as machine:
        machine.out("rm", COMMAND)
        machine.put(_tar(wheels))
        # pip finds everything in a folder, and the commands can stay as they are printed.
        machine.write("/etc/pip.conf", f"[global]\nno-index = true\nfind-links = {HOME}/packages\n")
        machine.write(SETTINGS, site.config_file.read_text())
        yield machine


def _tar(folder: Path) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.add(folder, HOME.lstrip("/"))
    return out.getvalue()


def follow(machine: Machine, name: str, place: str = HOME) -> dict[str, str]:
    """Execute the commands of a block one after the other; give what each printed to standard output."""
    printed = {}
    for command in commands()[name]:
        done = machine.run("sh", "-c", f"cd {place} && {command}", patience=150)
        # The first look may find something: that is what it is for.
        assert done.code == 0 or command == "govma-console doctor", f"{command}: {done}"
        printed[command] = done.out
    return printed
