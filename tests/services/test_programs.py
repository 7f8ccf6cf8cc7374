"""Compose as a program: which one is used where there are several, and what each version needs to be asked."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from govma_core.deploy.doctor import compose_findings
from govma_core.errors import CommandError
from govma_core.events import Event, LogLine
from govma_core.reporting import Reporter
from govma_core.services import programs, up
from govma_core.services.compose import Question, execute, find_project
from govma_core.services.compose_config import load_config
from govma_core.services.config_hash import read_hashes
from govma_core.services.view import view
from govma_core.settings import Settings
from tests.support.engine import Engine
from tests.support.images import busybox_tag
from tests.support.sites import make_site
from tests.support.stack import SLEEP, remove

BROKEN = f"#!{sys.executable}\nimport compose_that_is_gone\n"


def _put(place: Path, script: str) -> Path:
    place.mkdir()
    path = place / "docker-compose"
    path.write_text(script)
    path.chmod(0o755)
    return place


def _says(version: str) -> str:
    return f"#!/bin/sh\necho {version}\n"


@pytest.mark.parametrize(
    ("made_by", "scripts", "used"),
    [
        pytest.param("1.29.2", {"one": _says("1.29.2"), "two": _says("2.26.1-4")}, "one", id="the one that made them"),
        pytest.param("2.26.1", {"one": _says("1.29.2"), "two": _says("2.26.1-4")}, "two", id="made by Debian's"),
        pytest.param("2.40.3", {"one": _says("1.29.2"), "two": _says("2.26.1")}, "two", id="another of its kind"),
        pytest.param("2.26.1", {"cli-plugins": _says("v2.40.3"), "two": _says("2.26.1")}, "two", id="exactly that one"),
        pytest.param("", {"one": _says("1.29.2"), "two": _says("5.0.1")}, "two", id="the newer kind for new ones"),
        pytest.param("", {"one": _says("2.26.1"), "cli-plugins": _says("2.26.1")}, "cli-plugins", id="docker compose"),
        pytest.param("1.29.2", {"one": BROKEN, "two": _says("2.26.1")}, "two", id="passed over"),
        pytest.param("", {"one": "#!/nowhere/python\n", "two": _says("1.29.2")}, "two", id="without its interpreter"),
    ],
)
def test_the_compose_that_made_the_containers_goes_before_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_by: str, scripts: dict[str, str], used: str
) -> None:
    """Guards a server that has both from images that are missing, and from containers that are all replaced."""
    places = [str(_put(tmp_path / name, script)) for name, script in scripts.items()]
    monkeypatch.setenv("PATH", os.pathsep.join(place for place in places if "plugins" not in place))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(programs, "_PLUGIN_DIRS", ())
    monkeypatch.setattr(programs, "maker", lambda _: made_by)
    assert programs.program("site") == f"{tmp_path}/{used}/docker-compose"


def test_one_that_is_mended_later_is_used_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards a server that lives on while what its compose programs lack is installed."""
    started = tmp_path / "started"
    one, two = (
        f"{_put(tmp_path / name, f'#!/bin/sh{chr(10)}echo >>{started}; cat {tmp_path}/{name}.version')}/docker-compose"
        for name in ("one", "two")
    )
    monkeypatch.setattr(programs, "installed", lambda: (one, two))
    monkeypatch.setattr(programs, "maker", lambda _: "")
    assert [programs.program("site") for _ in range(2)] == [one, one]
    # A view asks several times, and each may take as long as one that hangs.
    assert started.read_text() == "\n\n"
    monkeypatch.setattr(programs, "_KEPT_SECONDS", 0)
    (tmp_path / "one.version").write_text("1.29.2\n")
    assert programs.program("site") == one
    (tmp_path / "two.version").write_text("2.26.1\n")
    assert programs.program("site") == two


def test_one_that_does_not_start_is_named_by_the_doctor_and_by_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against the upgrade of an operating system, after which compose 1 lacks its Python."""
    (tmp_path / "compose.yml").write_text("services: {}\n")
    settings = Settings(services_compose_dir=tmp_path)
    started = tmp_path / "started"
    scripts = {"one": BROKEN, "two": f"{_says('2.26.1')}echo >>{started}\n", "three": "#!/nowhere/python\n"}
    one, two, three = (f"{_put(tmp_path / name, script)}/docker-compose" for name, script in scripts.items())

    def findings(*paths: str) -> list[tuple[str, str]]:
        monkeypatch.setattr(programs, "installed", lambda: paths)
        return [(each.state, each.said) for each in compose_findings(settings)]

    monkeypatch.setattr(programs, "maker", lambda _: "")
    gone = f"{one} does not start: ModuleNotFoundError: No module named 'compose_that_is_gone'"
    assert findings(one, two) == [("note", f"{gone}; it is passed over"), ("ok", f"{two}, version 2.26.1")]
    assert started.read_text() == "\n"
    assert findings(one) == [("wrong", gone)]
    assert [(state, "docker-compose-v2" in said) for state, said in findings()] == [("note", True)]
    monkeypatch.setattr(programs, "installed", lambda: (three,))
    with pytest.raises(CommandError, match=rf"{three} does not start: No such file"):
        Question(find_project(settings), "config")


def test_settings_of_docker_reach_compose_and_what_belongs_to_env_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the digest of an image of which nothing has changed: with attestations each build has another."""
    monkeypatch.delenv("BUILDX_NO_DEFAULT_ATTESTATIONS", raising=False)
    for name in ("BUILDX_BUILDER", "BUILDKIT_COLORS", "DOCKER_CONTEXT", "DB_PASSWORD"):
        monkeypatch.setenv(name, "ours")
    environment = programs.environment()
    assert environment["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"
    assert [name for name, value in environment.items() if value == "ours"] == [
        "BUILDX_BUILDER",
        "BUILDKIT_COLORS",
        "DOCKER_CONTEXT",
    ]
    monkeypatch.setenv("BUILDX_NO_DEFAULT_ATTESTATIONS", "0")
    assert programs.environment()["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "0"


def _project(directory: Path, labels: str = "{}") -> None:
    """Write a project as version 2 has its troubles with: `version`, an env file, a service that depends on another."""
    health = "healthcheck: {test: [CMD, 'true'], interval: 300ms}"
    service = f"image: {busybox_tag()}, command: {json.dumps(SLEEP).replace('$', '$$')}, {health}"
    directory.mkdir(exist_ok=True)
    (directory / "extra.env").write_text("KEY=a$$b\n")
    (directory / "docker-compose.yml").write_text(
        f"version: '3.7'\nservices:\n  web: {{{service}, env_file: extra.env, depends_on: [cache], labels: {labels}}}\n"
        f"  cache: {{{service}, environment: {{ONE: two}}}}\n"
    )


def test_version_2_is_asked_for_the_hashes_that_its_containers_have(
    tmp_path: Path, compose_2: Path, monkeypatch: pytest.MonkeyPatch, docker_engine: Engine, busybox_image: str
) -> None:
    """Guards drift that only the hash shows, and a service that is made again for nothing."""
    assert busybox_image
    asked = tmp_path / "asked"
    script = f'#!/bin/sh\necho "$@" >>{asked}\nexec {compose_2}/docker-compose "$@"\n'
    path = f"{_put(tmp_path / 'compose', script)}/docker-compose"
    monkeypatch.setattr(programs, "installed", lambda: (path,))
    site = make_site(tmp_path / "site")
    directory = tmp_path / f"govma{os.urandom(3).hex()}"
    _project(directory)
    site.flags = {"services_compose_dir": str(directory)}
    project = find_project(site.settings)
    events: list[Event] = []
    try:
        execute(project, ["up", "-d"], Reporter(events.append), 60)
        assert not [event.text for event in events if isinstance(event, LogLine) and "obsolete" in event.text]

        def kinds() -> list[tuple[str, str]]:
            state = view(site.context())
            assert state.every_setting
            return [(each.service, each.kind) for each in state.differences if each.kind != "place"]

        assert kinds() == []
        _project(directory, "{some: label}")
        asked.write_text("")
        assert kinds() == [("web", "settings")]
        # What version 1 would be asked for is not asked for again.
        questions = [line.removeprefix(f"-p {project.name} ") for line in asked.read_text().splitlines()]
        assert questions == ["config", *["-f - config --no-normalize --hash=*"] * 2]
        assert up.run(site.context()).details["services"] == ["web"]
        # Made without what it depends on.
        assert kinds() == []
        assert up.run(site.context()).message.startswith("Nothing to do")
    finally:
        remove(docker_engine, project.name)


def test_what_shares_with_another_container_has_no_hash_to_compare(
    tmp_path: Path, compose_2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against drift for ever: version 2 puts the other container's id into it."""
    monkeypatch.setattr(programs, "installed", lambda: (f"{compose_2}/docker-compose",))
    text = (
        "services:\n  a: {image: x}\n  b: {image: x, network_mode: 'service:a'}\n  c: {image: x, volumes_from: [a]}\n"
    )
    (tmp_path / "compose.yml").write_text(text)
    project = find_project(Settings(services_compose_dir=tmp_path))
    assert list(read_hashes(project, load_config(project), project.mask)) == ["a"]
