"""Deploys with the real Docker engine, killed or cut off from the engine in the middle of the build."""

from __future__ import annotations

import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.result import Result
from tests.support.crashes import CrashSite
from tests.support.cut_line import cut_line
from tests.support.engine import Engine, engine_for_tests
from tests.support.images import busybox_image
from tests.support.waiting import wait_for


def sweep(folder: Path, kills: int = 15, tries: int = 5, cuts: int = 3, seed: int = 3) -> Result:
    """Kill the runner at moments of the build; after each the next deploy succeeds, and no container is left."""
    folder.chmod(0o755)
    rng, began = random.Random(seed), time.monotonic()
    with ExitStack() as stack:
        engine = stack.enter_context(engine_for_tests())
        variables = stack.enter_context(pytest.MonkeyPatch.context())
        variables.setenv("DOCKER_HOST", engine.host)
        image = stack.enter_context(busybox_image(engine))
        site = CrashSite.make(folder / "site", builder="docker", base_image=image)
        found = 0
        for _ in range(kills):
            record, process = site.start("never", "deploy", rebuild=True)
            _wait_for_build(site, record.id)
            time.sleep(rng.uniform(0, 1.2))
            process.kill()
            process.communicate()
            found += bool(containers(engine, site))
            site.check("killed in a build by Docker", record, killed=process.returncode < 0)
            _recover(site, engine)
        silent = stack.enter_context(busybox_image(engine, "sleep 600"))
        for _ in range(tries):
            _killed_in_a_rehearsal(site, engine, silent)
        for number in range(cuts):
            for what, flags in (
                ("a build", {"install_command": "sleep 600"}),
                ("a rehearsal", {"rehearsal_image": silent, "rehearsal_timeout": 600}),
            ):
                _cut_off(site, engine, folder / f"{number}.sock", what, flags, variables)
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "kill -9 during builds and rehearsals by the real Docker engine; the engine gone during them",
        f"{kills} kills in builds, {tries} in rehearsals, {2 * cuts} times without the engine",
        f"{found} times a container, gone after the next deploy; {time.monotonic() - began:.0f} s",
        len(site.problems),
        min(kills, tries, cuts),
    )


def _cut_off(
    site: CrashSite, engine: Engine, socket: Path, what: str, flags: dict[str, Any], variables: pytest.MonkeyPatch
) -> None:
    """Have the engine gone while a container of the run works; the run fails with a sentence, and nothing is live."""
    before = site.versions.pointer().version
    with cut_line(socket, engine) as line:
        variables.setenv("DOCKER_HOST", line.host)
        site.flags |= flags
        record, process = site.start("never", "deploy", rebuild=True, force=True)
        stage = "rehearsal" if "rehearsal_image" in flags else "assets"
        wait_for(
            lambda: site.store.read(record.id).stage.startswith(stage) and containers(engine, site),
            f"{what}'s container",
        )
        line.cut()
        process.communicate(timeout=60)
    variables.setenv("DOCKER_HOST", engine.host)
    for name in flags:
        site.flags.pop(name)
    record = site.store.read(record.id)
    if record.state != "failed" or "Docker" not in record.message or site.versions.pointer().version != before:
        site.problems.append(f"Docker was gone in {what}: {record.state}, {record.message}")
    _recover(site, engine)


def _killed_in_a_rehearsal(site: CrashSite, engine: Engine, silent: str) -> None:
    """Kill the runner while a container tries the version; it is not live, and the container is gone after the next."""
    before = site.versions.pointer().version
    site.flags |= {"rehearsal_image": silent, "rehearsal_timeout": 600}
    record, process = site.start("never", "deploy", rebuild=True, force=True)
    wait_for(lambda: site.store.read(record.id).stage == "rehearsal" and containers(engine, site), "the rehearsal")
    process.kill()
    process.communicate()
    site.flags.pop("rehearsal_image")
    site.flags.pop("rehearsal_timeout")
    site.check("killed in a rehearsal by Docker", record, killed=process.returncode < 0)
    if site.versions.pointer().version != before:
        site.problems.append("a version is live though its rehearsal was killed")
    _recover(site, engine)


def _wait_for_build(site: CrashSite, run_id: str) -> None:
    wait_for(lambda: site.store.read(run_id).stage.startswith("assets") or site.store.read(run_id).ended, "the build")


def containers(engine: Engine, site: CrashSite) -> list[str]:
    """Return the containers of the site, running or not."""
    with engine.client() as client:
        label = f"govma-console.site={site.settings.versions_dir}"
        return [str(c.id) for c in client.containers.list(all=True, ignore_removed=True, filters={"label": label})]


def _recover(site: CrashSite, engine: Engine) -> None:
    site.recover()
    site.problems += [f"left over: container {container}" for container in containers(engine, site)]
