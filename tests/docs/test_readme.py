"""The README and docs/ followed to the letter on a new server: installed from the wheel, deployed, served, gone."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import REPOSITORY, Engine
from tests.support.machine import COMMAND, Machine
from tests.support.new_server import ADDRESS, HOME, SETTINGS, add_wheels, follow, new_server
from tests.support.readme import commands
from tests.support.rights import as_root
from tests.support.sample import SampleSite, create_sample
from tests.support.systemd_image import PYTHON

pytestmark = as_root


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine, busybox_image: str) -> SampleSite:
    # Outside of /tmp, which the machine has for itself: the engine's paths have to be those of both.
    root = tmp_path_factory.mktemp("readme")
    assert docker_engine.host.startswith("unix://")
    return create_sample(root / "site", builder="docker", base_image=busybox_image)


@pytest.fixture(scope="module", name="machine")
def _machine(docker_engine: Engine, systemd_image: str, site: SampleSite, wheels: Path) -> Iterator[Machine]:
    """Yield a machine that has what the README takes for granted: the site, the engine, the wheel."""
    program = shutil.which("docker")
    assert program
    socket = docker_engine.host.removeprefix("unix://")
    shared = {socket: "/var/run/docker.sock", program: "/usr/bin/docker"}
    with new_server(docker_engine, systemd_image, wheels, site, shared) as machine:
        yield machine


@pytest.fixture(scope="module", name="wheels")
def _wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return add_wheels(tmp_path_factory.mktemp("wheels"), PYTHON)


def test_the_demo_by_the_readme_alone(machine: Machine) -> None:
    """Guards the first command: from a clone, with what a fresh Debian has, to a site with versions, and away again."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in filter(None, tracked.stdout.split("\0")):
            tar.add(REPOSITORY / name, f"{HOME.lstrip('/')}/clone/{name}")
    machine.put(out.getvalue())
    printed = follow(machine, "demo", f"{HOME}/clone")["make demo"]
    assert printed.count("data-build--") >= 2
    assert "current-version" in machine.out("ls", "/var/tmp/govma-demo/www_versions")
    machine.out(f"{HOME}/clone/.venv/bin/govma-console", "demo", "--remove")
    assert machine.run("ls", "/var/tmp/govma-demo").code != 0


def test_a_new_server_by_the_readme_alone(machine: Machine, site: SampleSite) -> None:
    """Guards all of the README's way: install, deploy, rollback, service, curl, upgrade, and away again."""
    follow(machine, "install")
    assert machine.out("govma-console", "--version").startswith("govma-console ")
    _write_settings(machine)
    before = os.readlink(site.versions_dir / "current-version")
    printed = follow(machine, "first")
    deployed = printed["govma-console deploy"].strip()
    assert deployed in printed["govma-console list"]
    # The rollback of the steps before holds the commit that it left.
    assert "Nothing is wrong with this server, but" in follow(machine, "look")["govma-console doctor"]
    assert os.readlink(site.versions_dir / "current-version") == before
    _take_over(machine)
    site.commit({"data/html/novo.txt": "novo"}, "Mais uma página")
    served = follow(machine, "service")
    assert "successfully deployed" in served["curl http://127.0.0.1:50024/deploy"]
    live = os.readlink(site.versions_dir / "current-version")
    assert (site.versions_dir / live / "html/novo.txt").read_text() == "novo"
    _call(machine)
    follow(machine, "upgrade")
    assert "successfully deployed" in machine.out("curl", "-s", "http://127.0.0.1:50024/deploy")
    live = os.readlink(site.versions_dir / "current-version")
    versions = set(os.listdir(site.versions_dir))
    follow(machine, "back")
    assert machine.out("systemctl", "is-active", "dispatcher-server").strip() == "active"
    follow(machine, "away")
    assert machine.run("sh", "-c", f"command -v govma-console || ls -d {COMMAND}").code != 0
    assert os.readlink(site.versions_dir / "current-version") == live
    assert (site.versions_dir / live / "html/novo.txt").read_text() == "novo"
    assert set(os.listdir(site.versions_dir)) == versions
    follow(machine, "venv")
    assert live in machine.out("govma-console", "list")


def _write_settings(machine: Machine) -> None:
    """Follow both ways to a settings file, and leave the machine the one that it had."""
    machine.write(f"{HOME}/run-deploy.sh", "export GOV_MA_SERVER_BASE_DIR=/srv/versions\n")
    for command in commands()["settings"]:
        machine.shell(f"mv {SETTINGS} /root/former.toml; cd {HOME}; {command}")
        content = machine.out("cat", SETTINGS)
        assert ('"/srv/versions"' in content) is ("--from" in command)
        machine.out("mv", "/root/former.toml", SETTINGS)


def _take_over(machine: Machine) -> None:
    """Follow the way from a server that dispatcher-server has."""
    machine.write(
        "/etc/systemd/system/dispatcher-server.service",
        "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    )
    machine.out("systemctl", "enable", "--now", "dispatcher-server")
    printed = follow(machine, "takeover")
    # The rollback before holds the only commit that there is.
    assert "are held" in printed["curl http://127.0.0.1:50024/deploy"]
    assert machine.run("systemctl", "is-active", "dispatcher-server").code != 0


def _call(machine: Machine) -> None:
    """Follow what the pages have for scripts, for callers with a token, for holds and for a service that gave up."""
    for command, output in follow(machine, "scripts").items():
        assert ("nothing new: " if "if_new" in command else "successfully deployed") in output
    follow(machine, "retry")
    token, *requests = commands()["tokens"]
    machine.shell(f"cd {HOME}; {token}")
    for request in requests:
        answer = json.loads(machine.shell(f"cd {HOME}; {request}"))
        # To its end: until then all but a deploy is refused.
        assert "exit code 0" in machine.out("curl", "-s", f"{ADDRESS}/api/v1/runs/{answer['run']['id']}/log?follow=1")
    follow(machine, "hold")
