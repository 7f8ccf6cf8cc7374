"""An image of Debian whose PID 1 is systemd, with Python and the packages that the project needs."""

from __future__ import annotations

import platform
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.engine import REPOSITORY, SYSTEM_PATH, Engine
from tests.support.images import CACHE, ImageUnavailableError, digest, imported
from tests.support.node_image import MMDEBSTRAP, SUITE, run_tool

SYSTEMD_TAG = "govma-test/systemd:latest"
PYTHON = "3.11"
"""Python of the suite; the packages are fetched for it, whichever Python runs the tests."""
PACKAGES = "/opt/govma/packages"
PROJECT = "/opt/govma/project"
"""Where the sources are mounted."""
INCLUDE = "systemd,systemd-sysv,dbus,polkitd,python3,git,curl,procps,util-linux"
HOOKS = (
    # Where Python looks by itself, as it does for what is installed for the whole machine.
    f'printf "%s\\n" {PROJECT} {PACKAGES} >"$1/usr/lib/python3/dist-packages/govma.pth"',
    # Of no use here, and each costs time at the start.
    'chroot "$1" systemctl mask systemd-firstboot.service systemd-logind.service getty.target console-getty.service '
    "apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer "
    "systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-tmpfiles-clean.timer",
    'chroot "$1" systemctl set-default multi-user.target',
    f'chroot "$1" python3 -m compileall -q {PACKAGES}',
)
CHANGES = ("ENV container=docker", 'CMD ["/sbin/init"]')


def _requirements() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [str(requirement) for requirement in project["dependencies"]]


def _pip(target: Path) -> list[str]:
    digits = PYTHON.replace(".", "")
    return [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(target)),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", PYTHON, "--abi", f"cp{digits}"),
        *(f"--platform={kind}_{platform.machine()}" for kind in ("manylinux2014", "manylinux_2_28")),
        *("--constraint", str(REPOSITORY / "constraints.txt"), *_requirements()),
    ]


def build(target: Path) -> None:
    """Make the tar of the root file system; raise ImageUnavailableError when that cannot be done."""
    if shutil.which("mmdebstrap", path=SYSTEM_PATH) is None:
        raise ImageUnavailableError("mmdebstrap is not installed (scripts/test-packages does it)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix="building-") as name:
        work = Path(name)
        packages, made = work / "packages", work / "made.tar"
        run_tool(_pip(packages), "the download of the project's packages")
        hooks = (
            f'mkdir -p "$1{PACKAGES}" "$1{PROJECT}"',
            f'cp -rT {shlex.quote(str(packages))} "$1{PACKAGES}"',
            *HOOKS,
        )
        options = [f"--include={INCLUDE}", *(f"--customize-hook={hook}" for hook in hooks)]
        run_tool([*MMDEBSTRAP, *options, SUITE, str(made)], "mmdebstrap")
        made.replace(target)
    for old in target.parent.glob("systemd-*.tar"):
        if old != target:
            old.unlink()


@contextmanager
def systemd_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, made once and kept below .cache; give its tag."""
    constraints = (REPOSITORY / "constraints.txt").read_text()
    recipe = digest(SUITE, *MMDEBSTRAP, INCLUDE, *HOOKS, PYTHON, platform.machine(), *_requirements(), constraints)
    kept = CACHE / f"systemd-{recipe}.tar"

    def make() -> Path:
        if not kept.exists():
            build(kept)
        return kept

    with imported(engine, SYSTEMD_TAG, recipe, make, CHANGES) as tag:
        yield tag
