"""A Debian 12 server, installed by the README, upgraded to Debian 13 in place, and mended by what the pages say."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian_image import PYTHONS, add, debian_with
from tests.support.engine import Engine
from tests.support.images import ImageUnavailableError, digest
from tests.support.machine import Machine
from tests.support.new_server import ADDRESS, add_wheels, follow, new_server
from tests.support.rights import as_root, passable
from tests.support.sample import SampleSite, create_sample
from tests.support.systemd_image import BOOTED
from tests.support.waiting import wait_for

pytestmark = [as_root, pytest.mark.slow, pytest.mark.timeout(900)]
OLD, NEW = "bookworm", "trixie"
COULD_NOT_CONNECT = 7
"""Exit code of curl."""
_QUICK = "force-unsafe-io\n"
"""For dpkg: no power cut is expected."""


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> SampleSite:
    return create_sample(passable(tmp_path) / "site")


@pytest.fixture(name="image")
def _image(docker_engine: Engine) -> Iterator[str]:
    """Give an image of Debian 12, whichever release this machine has."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(
                debian_with(docker_engine, "old-server", _layer, digest(_QUICK), *BOOTED, suite=OLD)
            )
        except ImageUnavailableError as error:
            pytest.skip(str(error))


def _layer(target: Path, _: Path) -> None:
    with tarfile.open(target, "w") as tar:
        add(tar, "etc/dpkg/dpkg.cfg.d/quick", _QUICK.encode())


@pytest.fixture(name="machine")
def _machine(docker_engine: Engine, image: str, site: SampleSite, tmp_path: Path) -> Iterator[Machine]:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    add_wheels(wheels, PYTHONS[OLD], PYTHONS[NEW])
    # Its Debian has to come from somewhere.
    with new_server(docker_engine, image, wheels, site, network="bridge") as machine:
        yield machine


def test_a_server_upgraded_in_place_is_mended_by_the_pages_with_all_that_it_had(
    machine: Machine, site: SampleSite
) -> None:
    """Guards versions, history, holds, marks, pins and runs, and what is told until somebody has mended it."""
    follow(machine, "install")
    follow(machine, "first")
    follow(machine, "service")
    site.commit({"data/html/novo.txt": "novo"}, "Mais uma página")
    assert "successfully deployed" in machine.out("curl", "-s", f"{ADDRESS}/deploy")
    # It leaves a mark, and a hold of the commit.
    machine.out("govma-console", "rollback")
    live = os.readlink(site.versions_dir / "current-version")
    machine.out("govma-console", "pin", live, "--reason", "antes do Debian 13")
    before = _records(machine)

    _upgrade_the_system(machine)
    _look_before_mending(machine)
    machine.reboot()
    _look_after_the_boot(machine)
    assert os.readlink(site.versions_dir / "current-version") == live

    follow(machine, "upgrade")
    after = _records(machine)
    [attempt] = [run for run in after["runs"] if run not in before["runs"]]
    assert attempt["state"] == "interrupted"
    after["runs"].remove(attempt)
    assert after == before
    machine.out("systemctl", "is-active", "govma-console.socket", "govma-console.service")
    printed = machine.out("curl", "-s", f"{ADDRESS}/deploy")
    assert f"Run {attempt['id']} (deploy) had been interrupted during its start." in printed
    assert "are held by root" in printed
    machine.out("govma-console", "release")
    assert machine.out("curl", "-s", f"{ADDRESS}/readyz") == "ready\n"
    assert "successfully deployed" in machine.out("curl", "-s", f"{ADDRESS}/deploy")
    assert (site.versions_dir / "current-version/html/novo.txt").read_text() == "novo"
    machine.out("govma-console", "rollback")
    assert os.readlink(site.versions_dir / "current-version") == live
    assert "Nothing is wrong" in machine.out("govma-console", "doctor")


def _records(machine: Machine) -> dict[str, Any]:
    """Return all that a server knows of its past."""
    listings = {word: json.loads(machine.out("govma-console", word, "--json")) for word in ("list", "history", "runs")}
    return {**listings, "holds": json.loads(machine.out("govma-console", "status", "--json"))["holds"]}


def _upgrade_the_system(machine: Machine) -> None:
    """Do what Debian's release notes say."""
    machine.shell(f"grep -rl {OLD} /etc/apt | xargs sed -i s/{OLD}/{NEW}/g")
    for step in ("update", "-y dist-upgrade"):
        done = machine.run("sh", "-c", f"DEBIAN_FRONTEND=noninteractive apt-get -q {step}", patience=600)
        assert done.code == 0, f"apt-get {step}: {done.out[-2000:]} {done.err}"
    assert machine.out("cat", "/etc/debian_version").startswith("13.")


def _look_before_mending(machine: Machine) -> None:
    """See that the server of before, which is still running, tells why it deploys nothing."""
    status = machine.run("govma-console", "status")
    assert (status.code, "ModuleNotFoundError" in status.err) == (1, True)
    advice = "govma-console again, as for an upgrade."
    refusal = machine.out("curl", "-s", f"{ADDRESS}/readyz")
    assert refusal.startswith("No run can start: ")
    assert refusal.endswith(f"{advice}\n")
    printed = machine.out("curl", "-s", f"{ADDRESS}/deploy")
    assert "deploy failed: The run's process ended during its start: " in printed
    assert "ModuleNotFoundError" in printed
    assert advice in printed


def _look_after_the_boot(machine: Machine) -> None:
    """See that the service gives up, and the journal tells why."""
    units = ("govma-console.socket", "govma-console.service")
    wait_for(lambda: machine.run("systemctl", "is-active", *units).out.split() == ["failed"] * 2, "the last attempt")
    assert machine.run("curl", "-s", f"{ADDRESS}/deploy").code == COULD_NOT_CONNECT
    said = [entry["MESSAGE"] for entry in machine.journal("--boot", "--unit=govma-console")]
    assert any("ModuleNotFoundError" in line for line in said)
