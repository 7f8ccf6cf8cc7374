"""What counts as a difference between the compose file and the containers, and what only looks like one."""

from __future__ import annotations

import dataclasses
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import UsageError
from govma_core.services.compose import Project, find_project
from govma_core.services.compose_config import ComposeConfig, read_config
from govma_core.services.drift import differences
from govma_core.services.inspect import Image, ProjectState, read_container
from govma_core.services.source_drift import Due, due_in, opened, source_differences
from govma_core.services.up import choose
from govma_core.settings import Settings
from govma_core.text.clean import clean_all

_IMAGE = "sha256:1"


def _project_of(directory: Path, services: str, env: str = "") -> tuple[Project, ComposeConfig]:
    text = f"services:\n{services}"
    (directory / "docker-compose.yml").write_text(text)
    (directory / ".env").write_text(env)
    project = find_project(Settings(services_compose_dir=directory))
    return project, read_config(project, text)


def _state(tags: dict[str, str] | None = None, **services: dict[str, Any]) -> ProjectState:
    containers = []
    for name, raw in services.items():
        config = {"Labels": {"com.docker.compose.service": name}, "Image": "x", **raw.get("Config", {})}
        raw_container: dict[str, Any] = {
            "Id": name,
            "Name": f"/p_{name}_1",
            "Image": _IMAGE,
            "State": {"Status": "running", **raw.get("State", {})},
            "RestartCount": raw.get("RestartCount", 0),
        }
        raw_container |= {"HostConfig": raw.get("HostConfig", {}), "Mounts": raw.get("Mounts", ()), "Config": config}
        raw_container["NetworkSettings"] = {"Networks": {raw.get("network", "p_default"): {}}}
        containers.append(read_container(raw_container))
    return ProjectState(tuple(containers), {}, {"x:latest": _IMAGE} if tags is None else tags, ())


@pytest.mark.parametrize(("restarts", "age", "differs"), [(3, 4, True), (0, 4, False), (1, 600, False)])
def test_a_container_that_ends_again_and_again_is_not_as_it_should_be(
    tmp_path: Path, restarts: int, age: int, differs: bool
) -> None:
    """Guards the view from a container that always runs when it is looked at."""
    project, config = _project_of(tmp_path, "  a:\n    image: x\n")
    started = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    state = _state(a={"RestartCount": restarts, "State": {"StartedAt": started}})
    assert (("a", "stopped") in _kinds(config, state, Settings(), project)) is differs


def _kinds(config: ComposeConfig, state: ProjectState, settings: Settings, project: Project) -> list[tuple[str, str]]:
    return [(each.service, each.kind) for each in differences(config, state, settings, inactive=project.inactive)]


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        ("x", "x:latest"),
        ("docker.io/library/x:1", "x:1"),
        ("docker.io/a/x", "a/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("x@sha256:ab", "x@sha256:ab"),
        ("docker.io/library/x:1@sha256:ab", "x@sha256:ab"),
        ("sha256:ab", "sha256:ab"),
    ],
)
def test_an_image_is_found_by_whatever_name_the_compose_file_has_for_it(name: str, listed: str) -> None:
    """Guards against "its image is not there" for ever."""
    assert _state({listed: _IMAGE}).tagged(name) == _IMAGE


def test_a_service_whose_profile_is_not_active_is_neither_missed_nor_unknown_nor_started(tmp_path: Path) -> None:
    """Guards the ways of both versions of compose: the first tells of such a service, the second does not."""
    debug = "  web: {image: x, networks: [n]}\n  debug: {image: x, profiles: [debug]}\n"
    project, first = _project_of(tmp_path, debug)
    second = read_config(project, "services:\n  web: {image: x}\n")
    web = {"network": f"{project.name}_default"}
    for config in (first, second):
        assert ("debug", "absent") not in _kinds(config, _state(web=web), Settings(), project)
        assert ("debug", "orphan") not in _kinds(config, _state(web=web, debug=web), Settings(), project)
        assert choose(project, config, None) == ["web"]
    assert choose(project, first, ["debug"]) == ["debug"]
    with pytest.raises(UsageError, match="no service debug"):
        choose(project, second, ["debug"])
    active, config = _project_of(tmp_path, debug, "COMPOSE_PROFILES=other,debug\n")
    assert ("debug", "absent") in _kinds(config, _state(web=web), Settings(), active)
    assert choose(active, config, None) == ["web", "debug"]


def test_what_docker_and_compose_put_into_a_container_themselves_is_no_difference(tmp_path: Path) -> None:
    """Guards against drift for ever: proxies of the client's settings, and where configs and secrets appear."""
    inside = "configs: [one, {source: two, target: /etc/two}], secrets: [{source: key, target: pass}]"
    project, config = _project_of(tmp_path, f"  web: {{image: x, {inside}}}\n")
    targets = ("/one", "/etc/two", "/run/secrets/pass")
    web = {
        "network": f"{project.name}_default",
        "Config": {"Env": ["http_proxy=http://proxy:3128", "NO_PROXY=localhost"]},
        "Mounts": [{"Type": "bind", "Source": "/srv/x", "Destination": target} for target in targets],
    }
    assert _kinds(config, _state(web=web), Settings(), project) == []
    web["Mounts"] = [{"Type": "bind", "Source": "/srv/x", "Destination": "/run/secrets/other"}]
    assert _kinds(config, _state(web=web), Settings(), project) == [("web", "mounts")]


def test_settings_that_are_not_compared_one_by_one_and_numbers_of_containers_are_compared_too(tmp_path: Path) -> None:
    """Guards "all is as it should be" from what `services up` would recreate."""
    project, config = _project_of(
        tmp_path, "  web: {image: x}\n  many: {image: x, scale: 2}\n  idle: {image: x, scale: 0}\n"
    )
    labelled = {"com.docker.compose.service": "web", "com.docker.compose.config-hash": "one"}
    network = {"network": f"{project.name}_default"}
    state = _state(web=network | {"Config": {"Labels": labelled}}, many=network, idle=network)
    cases: tuple[tuple[dict[str, list[str]], list[tuple[str, str]]], ...] = (
        ({}, []),
        ({"web": ["two", "one"]}, []),
        ({"web": ["two"]}, [("web", "settings")]),
    )
    for hashes, expected in cases:
        rows = differences(config, state, Settings(), hashes=hashes)
        replicas = [("many", "replicas"), ("idle", "replicas")]
        assert [(each.service, each.kind) for each in rows] == expected + replicas
    assert [each.downtime for each in rows] == ["pages", "none", "pages"]
    assert "1 container, 2 wanted" in rows[1].what


def test_containers_of_the_other_version_of_compose_are_all_replaced_and_that_is_said_once(tmp_path: Path) -> None:
    """Guards the first `services up` after a change from compose 1 to 2, which restarts everything."""
    project, first = _project_of(tmp_path, "  web: {image: x}\n")
    second = dataclasses.replace(first, second=True)
    for made_by, config, kinds in (
        ("1.29.2", first, ["settings"]),
        ("1.29.2", second, ["compose"]),
        ("2.26.1", second, ["settings"]),
        ("2.26.1", first, ["compose"]),
        ("", second, ["settings"]),
    ):
        labels = {"com.docker.compose.service": "web", "com.docker.compose.version": made_by}
        state = _state(web={"network": f"{project.name}_default", "Config": {"Labels": labels}})
        rows = differences(config, state, Settings(), hashes={"web": ["hash"]})
        assert [each.kind for each in rows] == kinds
        assert ("replaces each of them once" in rows[0].what) is (kinds == ["compose"])


def test_a_web_server_without_the_versions_is_named_and_one_that_has_them_by_their_parent_is_not(
    tmp_path: Path,
) -> None:
    """Guards against a site that goes on serving what was put into its image."""
    settings = Settings(versions_dir=tmp_path / "www/versions", upload_dir=tmp_path / "none", image_dir=None)
    project, config = _project_of(tmp_path, "  web: {image: x, ports: ['8000:80']}\n")
    bindings = {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8000"}]}}
    web: dict[str, Any] = {"network": f"{project.name}_default", "HostConfig": bindings}
    rows = differences(config, _state(web=web), settings)
    assert [(each.service, each.kind, each.downtime) for each in rows] == [("(all)", "place", "site")]
    assert "no container has versions_dir mounted" in rows[0].what
    for source in ("www", "www/versions", "www/versions/one"):
        web["Mounts"] = [{"Type": "bind", "Source": str(tmp_path / source), "Destination": "/var/www"}]
        assert not any("no container has" in each.what for each in differences(config, _state(web=web), settings))


def _git(directory: Path, *arguments: str) -> str:
    line = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments]
    return subprocess.run(line, cwd=directory, check=True, capture_output=True, text=True).stdout.strip()


def _committed(directory: Path, path: str, text: str) -> str:
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_text(text)
    _git(directory, "add", "-A")
    _git(directory, "commit", "-q", "-m", "x")
    return _git(directory, "rev-parse", "HEAD")


@pytest.mark.parametrize("context", ["/srv", "../other", "https://example.org/x.git", "none"])
def test_an_image_built_from_elsewhere_hides_no_difference_of_others(tmp_path: Path, context: str) -> None:
    directory = tmp_path / "prod-env"
    directory.mkdir()
    _git(directory, "init", "-q")
    project, config = _project_of(
        directory, f"  far: {{image: x, build: '{context}'}}\n  web: {{image: x, build: docker}}\n"
    )
    _committed(directory, "docker/Dockerfile", "FROM scratch\n")
    (directory / "docker/Dockerfile").write_text("FROM another\n")
    settings = Settings(services_compose_dir=directory, state_dir=tmp_path / "state")
    images = {_IMAGE: Image(_IMAGE, 0.0, {}, (), ())}
    state = dataclasses.replace(_state(web={"network": f"{project.name}_default"}), images=images)
    rows = source_differences(settings, lambda: (config, state))
    assert [each.kind for each in rows] == ["sources", "edited"]
    assert rows[0].service == "web"


def test_what_is_due_is_told_as_well_when_prod_env_has_commits_of_its_own(tmp_path: Path) -> None:
    """Guards the one answer that a deploy, `pending` and `services` give: `live` stands for what the source lacks."""
    _git(tmp_path, "init", "-q")
    live = _committed(tmp_path, "docker/Dockerfile", "FROM one\n")
    pending = _committed(tmp_path, "docker/Dockerfile", "FROM two\n")
    with opened(tmp_path, Settings()) as source:
        rows = due_in(source, "0" * 40, pending, live, Settings())
        assert rows is not None
        assert (rows.base, rows.files) == (live, ("docker/Dockerfile",))
        assert due_in(source, "0" * 40, live, live, Settings()) is None
        assert due_in(source, "0" * 40, pending, "", Settings()) is None


def test_what_a_terminal_would_obey_is_in_nothing_that_is_shown() -> None:
    """Guards the operator's terminal from names of files, images and containers."""
    odd = "a\x1b[2Jb\x9b"
    assert clean_all({"a": [odd, (odd, 1, None)], "b": {"c": odd}}) == {"a": ["ab", ["ab", 1, None]], "b": {"c": "ab"}}
    assert "\x1b" not in Due("a", "b", (f"docker/{odd}/Dockerfile",)).sentence()
