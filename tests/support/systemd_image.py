"""An image of Debian whose PID 1 is systemd, with Python and the packages that the project needs."""

from __future__ import annotations

import platform
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian_image import PYTHONS, SUITE, debian_with, run_tool
from tests.support.engine import REPOSITORY, Engine
from tests.support.images import digest

PYTHON = PYTHONS[SUITE]
"""Python of the release; the packages are fetched for it, whichever Python runs the tests."""
PACKAGES = "/opt/govma/packages"
PROJECT = "/opt/govma/project"
"""Where the sources are mounted."""
MASKED = (
    # Of no use here, and each costs time at the start.
    *("systemd-firstboot.service", "systemd-logind.service", "getty.target", "console-getty.service"),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer", "dpkg-db-backup.timer"),
    *("systemd-update-utmp.service", "systemd-update-utmp-runlevel.service", "systemd-tmpfiles-clean.timer"),
    # Of another image, or started by a test that needs it.
    *("ssh.service", "apache2.service", "apache-htcacheclean.service", "phpsessionclean.timer"),
)
BOOTED = (
    f"RUN export SYSTEMD_OFFLINE=1 && systemctl mask {' '.join(MASKED)} && systemctl set-default multi-user.target",
    "ENV container=docker",
    "STOPSIGNAL SIGRTMIN+3",
    # From 256 on, systemd starts on a machine with the first kind of control groups only when it is told to.
    'CMD ["/sbin/init", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"]',
)
"""Lines of a Dockerfile that make a machine of any Debian."""
INSTRUCTIONS = (
    # Where Python looks by itself, as it does for what is installed for the whole machine.
    f'RUN printf "%s\\n" {PROJECT} {PACKAGES} >/usr/lib/python3/dist-packages/govma.pth && mkdir -p {PROJECT}'
    f" && python3 -m compileall -q {PACKAGES}",
    *BOOTED,
)


def requirements() -> list[str]:
    """Return what the project needs of others."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [str(requirement) for requirement in project["dependencies"]]


def _pip(target: Path) -> list[str]:
    digits = PYTHON.replace(".", "")
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(target)),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, "--abi", f"cp{digits}"),
        *(f"--platform={kind}_{platform.machine()}" for kind in ("manylinux2014", "manylinux_2_28")),
        *("--constraint", str(REPOSITORY / "constraints.txt"), *requirements()),
    ]


def _layer(target: Path, work: Path) -> None:
    packages = work / "packages"
    run_tool(_pip(packages), "the download of the project's packages")
    with tarfile.open(target, "w") as tar:
        tar.add(packages, PACKAGES)


@contextmanager
def systemd_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, what it is made from kept below .cache; give its tag."""
    constraints = (REPOSITORY / "constraints.txt").read_text()
    recipe = digest(PYTHON, platform.machine(), *requirements(), constraints)
    with debian_with(engine, "systemd", _layer, recipe, *INSTRUCTIONS) as tag:
        yield tag
