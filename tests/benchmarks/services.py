"""The view of twenty containers against the docker command, and a guarded restart against compose's own.

Both restarts are of the same change, in turns, on the same project; the same probe asks the site every 10 ms.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from pathlib import Path

from govma_core.services.downtime_probe import Probe
from tests.benchmarks.harness import Row, console, median, run
from tests.support.engine import Engine, engine_for_tests
from tests.support.images import busybox_image, busybox_tag
from tests.support.stack import SLEEP, Stack, dockerfile, remove, stack

_CONTAINERS = 20
_TIMES = 9
_ROUNDS = 7


def measure(folder: Path) -> list[Row]:
    """Return the rows; a private engine is used where none answers."""
    import os

    with engine_for_tests() as engine, busybox_image(engine):
        os.environ["DOCKER_HOST"] = engine.host
        return [*_view(folder / "many", engine), *_restarts(folder / "site", engine)]


def _view(folder: Path, engine: Engine) -> list[Row]:
    # As a site has it once it was deployed to.
    (folder / "state").mkdir(parents=True)
    project = "govmabench"
    command = json.dumps(SLEEP)
    image = busybox_tag()
    services = "".join(
        f"  s{number:02}:\n    image: {image}\n    command: {command}\n    environment: {{A: '1', B: '${{B}}'}}\n"
        for number in range(_CONTAINERS)
    )
    (folder / ".env").write_text("B=/home/app/www_versions\n")
    (folder / "docker-compose.yml").write_text(f"version: '3.7'\nservices:\n{services}")
    config = folder / "settings.toml"
    config.write_text(
        f'versions_dir = "{folder}/versions"\nstate_dir = "{folder}/state"\n'
        f'[services]\ncompose_dir = "{folder}"\nproject = "{project}"\nstorage_dir = ""\n'
    )
    try:
        subprocess.run(["docker-compose", "-p", project, "up", "-d"], cwd=folder, check=True, capture_output=True)
        of_project = f"label=com.docker.compose.project={project}"
        names = run(["docker", "ps", "--filter", of_project, "--format", "{{.Names}}"]).split()

        def peer() -> None:
            run(["docker", "ps"])
            for name in names:
                run(["docker", "inspect", name])

        report = json.loads(run(console(config, "services", "--json")))
        if len(report["services"]) != _CONTAINERS or report["differences"]:
            raise RuntimeError(f"not what was brought up: {report}")
        # In turns: what else the machine does meets both alike.
        pairs = [(median(1, lambda: run(console(config, "services"))), median(1, peer)) for _ in range(_TIMES)]
        ours, theirs = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
        at_once = median(_TIMES, lambda: (run(["docker", "ps"]), run(["docker", "inspect", *names])))
    finally:
        remove(engine, project)
    what = f"`services` with {_CONTAINERS} containers ÷ `docker ps` + `docker inspect` of each"
    beside = f"{theirs * 1000:.0f} ms; {at_once * 1000:.0f} ms with one `inspect` of all"
    return [Row(what, f"{ours * 1000:.0f} ms", beside, ours / theirs, 1.0)]


def _restarts(folder: Path, engine: Engine) -> list[Row]:
    ours, theirs = [], []
    with stack(folder, engine) as site:
        for number in range(_ROUNDS):
            ours.append(_ours(site, f"ours{number}"))
            theirs.append(_theirs(site, f"theirs{number}"))
        leaks = len(site.leaked(*site.printed, site.written()))
    mine, peer = statistics.median(ours), statistics.median(theirs)
    spread = " to ".join(f"{value:.2f}" for value in (min(theirs), max(theirs)))
    return [
        Row(
            "downtime of a restart ÷ `docker-compose up -d --build` of the same change, medians of 7",
            f"{mine:.2f} s ({min(ours):.2f} to {max(ours):.2f})",
            f"{peer:.2f} s ({spread})",
            mine / peer,
            1.0,
        ),
        Row("values of `.env` in what was printed, and in state_dir", "", "", leaks, 0),
    ]


def _ours(site: Stack, page: str) -> float:
    (site.directory / "docker/apache/Dockerfile").write_text(dockerfile(page))
    with _probed(site) as probe:
        result = site.run("services", "up", "--yes")
    if result.code or site.page() != page:
        raise RuntimeError(result.err)
    return probe.silent


def _theirs(site: Stack, page: str) -> float:
    (site.directory / "docker/apache/Dockerfile").write_text(dockerfile(page))
    with _probed(site) as probe:
        site.compose("up", "-d", "--build")
        # Until it answers again: compose does not wait.
        probe.answers(30)
        time.sleep(0.5)
    if site.page() != page:
        raise RuntimeError("compose did not exchange the container")
    return probe.silent


class _probed:
    """Ask the site from outside while the block goes on, whoever restarts it."""

    def __init__(self, site: Stack) -> None:
        self.probe = Probe(f"{site.url}/index.html")
        self._going = self.probe.going()

    def __enter__(self) -> Probe:
        self._going.__enter__()
        return self.probe

    def __exit__(self, *error: object) -> None:
        self._going.__exit__(None, None, None)
