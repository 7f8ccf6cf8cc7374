"""The containers beside the code, a real compose project on the real engine: seen, compared, exchanged, put back."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from govma_core.errors import CommandError, EngineError, GovmaError, RefusedError, UsageError
from govma_core.services import programs, up
from govma_core.services import view as view_of_services
from govma_core.services.compose import Project, find_project
from govma_core.services.inspect import ProjectState
from govma_core.settings import Settings
from tests.support.images import busybox_tag
from tests.support.stack import Stack, dockerfile
from tests.support.waiting import wait_for

FAILING = "RUN echo 'sleep 0.2; exit 3' > /start"
BROKEN = "RUN echo no such thing; exit 7"


def test_what_runs_is_shown_and_differs_in_nothing(site: Stack) -> None:
    """Guards against drift that is none: a project just brought up by compose itself."""
    wait_for(lambda: site.view().services[0].health == "healthy", "health")
    state = site.view(lines=3, disk=True)
    assert [(each.name, each.state) for each in state.services] == [("apache", "running"), ("redis", "running")]
    assert (state.differences, state.problems) == ((), ())
    apache = state.services[0]
    assert apache.ports == ("127.0.0.1:${HTTP_PORT}->80/tcp",)
    assert "/var/www/versions: versions_dir" in apache.mounts
    assert "/var/www/uploads: upload_dir" in apache.mounts
    assert apache.lines == ("started with ${DB_PASSWORD} ${REDIS_TOKEN}",)
    assert next(store.size for store in state.storage if store.name == "upload-dir")
    result = site.run("services")
    assert result.code == 0
    assert "as it should be" in result.out
    assert site.run("services", "log", "apache").out == "started with ${DB_PASSWORD} ${REDIS_TOKEN}\n"


def test_compose_is_not_asked_again_while_its_files_are_as_they_were(
    site: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the time that the view takes; what it shows is the same, and no value is kept for it."""
    first = site.view()
    monkeypatch.setattr(view_of_services, "Question", lambda *_: pytest.fail("compose was asked"))
    again = site.view()
    assert (again.differences, again.problems, again.every_setting) == ((), (), True)
    assert [each.ports for each in again.services] == [each.ports for each in first.services]
    assert (site.site.settings.state_dir / "services-compose.json").exists()
    assert site.leaked(site.written(), *site.printed) == []


def test_every_kind_of_drift_is_named_by_service_and_never_by_value(site: Stack) -> None:
    """Guards the comparison: a change of the compose file, of `.env`, of an image, of a container."""
    compose, before = site.directory / "docker-compose.yml", dict(site.values)
    original = compose.read_text()
    other = site.site.sample.root / "elsewhere"
    other.mkdir()
    try:
        text = original.replace("MODE: production", "NEW_NAME: of no interest")
        text = text.replace("restart: always", "restart: unless-stopped\n    command: [/start, more]")
        text = text.replace("networks: [cache]", "networks: [cms]")
        # Not compared one by one: compose tells by its hash.
        compose.write_text(original.replace("    command:", "    labels: {some: label}\n    command:"))
        assert site.differences() == {"(all)": ["edited"], "redis": ["settings"]}
        compose.write_text(text)
        site.write_env(DB_PASSWORD="quite another secret", HTTP_PORT="54321", GOV_MA_UPLOAD_DIR=str(other))
        state = site.view()
        sentences = {(each.service, each.kind): each.what for each in state.differences}
        assert sentences["apache", "environment"] == (
            # HTTP_PORT and the directories are no part of the environment; all of `.env` would be.
            "environment: changed DB_PASSWORD; added NEW_NAME; removed MODE"
        )
        assert sentences["apache", "ports"] == "published differently: 80/tcp"
        assert sentences["apache", "mounts"] == "mount /var/www/uploads: from another place"
        assert sentences["apache", "command"] == "another command is wanted"
        assert sentences["apache", "restart"] == "restart policy always, wanted unless-stopped"
        networks = [each.what for each in state.differences if (each.service, each.kind) == ("redis", "networks")]
        assert [what.partition("network ")[0] for what in networks] == ["it is not in the ", "it is in the "]
        downtime = {each.service: each.downtime for each in state.differences if each.kind in ("ports", "networks")}
        assert downtime == {"apache": "site", "redis": "pages"}
        assert "redis: it is not in" in (output := site.run("services").out)
        assert "the site does not answer meanwhile" in output
        compose.write_text(original.partition("  redis:")[0] + "networks:\n  cms:\n  cache:\n")
        assert site.differences()["redis"] == ["orphan"]
        assert site.leaked(*site.printed) == []
        former = {name: site.values[name] for name in ("DB_PASSWORD",)} | {"was": before["DB_PASSWORD"]}
        assert [name for name, value in former.items() if any(value in text for text in site.printed)] == []
    finally:
        compose.write_text(original)
        site.write_env(**before)
        other.rmdir()
    image = site.image()
    with site.engine.client() as client:
        client.containers.get(site.container("redis")).stop(timeout=0)
        client.images.get(image).tag(image, "kept")
        client.images.get(busybox_tag()).tag(image, "latest")
        try:
            state = site.view()
        finally:
            client.images.get(f"{image}:kept").tag(image, "latest")
            client.images.remove(f"{image}:kept")
            client.containers.get(site.container("redis")).start()
    assert {(each.service, each.kind) for each in state.differences} >= {("redis", "stopped"), ("apache", "image")}
    assert site.differences() == {}


def test_a_version_mounted_instead_of_all_and_an_upload_dir_elsewhere_are_named(site: Stack) -> None:
    """Guards the mounts that the site's layout depends on."""
    compose = site.directory / "docker-compose.yml"
    original = compose.read_text()
    try:
        one = "BASE_DIR}:/var/www/versions\n      - ${GOV_MA_SERVER_BASE_DIR}/current-version:/var/www/one"
        wrong = original.replace("BASE_DIR}:/var/www/versions", one)
        compose.write_text(wrong.replace(":/var/www/uploads", ":/srv/uploads"))
        site.compose("up", "-d", "-t", "0", "apache")
        places = [each.what.partition(",")[0] for each in site.view().differences if each.kind == "place"]
        assert places == ["/var/www/one is one version", "upload_dir is not mounted at /var/www/uploads"]
    finally:
        compose.write_text(original)
        site.compose("up", "-d", "-t", "0", "apache")


def test_a_restart_builds_while_the_site_runs_and_exchanges_only_what_changed(site: Stack) -> None:
    """Guards the main job: prod-env moved forward, image built, one container exchanged, downtime measured."""
    redis, apache = site.container("redis"), site.container()
    commit = site.change("two")
    assert [(each.kind, each.takes) for each in site.view().differences] == [
        ("sources", "govma-console services up --sync")
    ]
    refused = site.run("services", "up", "--sync")
    assert (refused.code, site.container()) == (5, apache)
    result = site.run("services", "up", "--sync", "--yes", "--json")
    assert result.code == 0, result.err
    assert site.page() == "two"
    assert site.git("rev-parse", "HEAD") == commit
    assert site.container("redis") == redis
    details = result.json["details"]
    assert details["services"] == ["apache"]
    assert 0.02 < details["seconds_without_answer"] < 20
    sentence = re.search(r"the site did not answer for ([\d.]+) s", result.json["message"])
    assert sentence is not None
    # Both are rounded, each for itself.
    assert float(sentence[1]) == pytest.approx(details["seconds_without_answer"], abs=0.0056)
    assert site.answers()
    # Compose itself finds nothing left to do.
    site.compose("up", "-d", "--build")
    assert (site.page(), site.container("redis"), site.differences()) == ("two", redis, {})
    with site.engine.client() as client:
        assert client.containers.get(site.container()).name == f"{site.image()}{site.image()[len(site.project)]}1"
        networks = client.containers.get(site.container()).attrs["NetworkSettings"]["Networks"]
    assert {name: "apache" in endpoint["Aliases"] for name, endpoint in networks.items()} == {
        f"{site.project}_cms": True,
        f"{site.project}_cache": True,
    }
    assert site.up().message.startswith("Nothing to do")
    assert site.leaked(*site.printed, site.written()) == []


def test_what_compose_leaves_alone_was_no_restart(site: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards version 2 of compose: where there is an env file it prints another hash than its containers have."""
    containers = site.containers("redis")
    monkeypatch.setattr(up, "read_hashes", lambda *_, **__: {"redis": ["another"]})
    assert site.up("redis").message.startswith("Nothing to do")
    assert site.site.stages()["restart redis"].remark == "nothing differs"
    assert site.containers("redis") == containers


def test_when_a_build_fails_nothing_is_touched(site: Stack) -> None:
    """Guards what runs from what cannot be built."""
    apache, head = site.container(), site.git("rev-parse", "HEAD")
    site.change("four", BROKEN)
    with pytest.raises(CommandError, match="compose build failed with exit code 1"):
        site.up(sync=True)
    assert (site.container(), site.git("rev-parse", "HEAD")) == (apache, head)
    assert site.containers("apache") == [apache]
    assert site.answers()
    site.change("two")


def test_after_a_sync_the_project_is_looked_at_that_the_new_files_name(
    site: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards a project that a commit gives another name: its containers are not those of before."""
    commit = site.change("five")
    names = []

    def find_renamed(settings: Settings) -> Project:
        project = find_project(settings)
        return replace(project, name="renamed") if site.git("rev-parse", "HEAD") == commit else project

    def look(client: object, name: str) -> ProjectState:
        names.append(name)
        raise EngineError("Docker went away.")

    monkeypatch.setattr(up, "find_project", find_renamed)
    monkeypatch.setattr(up, "look", look)
    with pytest.raises(EngineError, match="went away"):
        site.up("redis", sync=True)
    assert names == ["renamed"]
    site.change("two")


def test_local_changes_in_the_way_of_a_sync_are_refused_and_others_kept(site: Stack) -> None:
    """Guards what a person changed in prod-env."""
    site.change("two", "ENV SYNCED=yes")
    path, notes = site.directory / "docker/apache/Dockerfile", site.directory / "notes.txt"
    original = path.read_text()
    notes.write_text("mine")
    path.write_text(original + "# mine\n")
    apache = site.container()
    with pytest.raises(RefusedError, match="docker/apache/Dockerfile"):
        site.up(sync=True)
    assert (path.read_text(), site.container()) == (original + "# mine\n", apache)
    assert "edited" in site.differences()["(all)"]
    path.write_text(original)
    site.up(sync=True)
    assert "SYNCED" in path.read_text()
    assert notes.read_text() == "mine"
    notes.unlink()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "There is no compose file"),
        ("services: [", "compose config in"),
        ("version: '3.7'\nservices:\n  one:\n    image: ${NOT_SET:?must be set}\n", "must be set"),
        ("version: '3.7'\nservices:\n  one:\n    image: x\n    secret: ${DB_PASSWORD}\n", "compose config in"),
        ("version: '3.7'\nservices:\n  apache:\n    image: x${NOT_SET}\n  redis:\n    image: y\n", "uses NOT_SET"),
    ],
)
def test_a_compose_file_that_is_missing_or_wrong_is_a_sentence(site: Stack, text: str | None, words: str) -> None:
    """Guards the words for bad input: the view still shows what runs, a restart touches nothing."""
    path = site.directory / "docker-compose.yml"
    original = path.read_text()
    apache = site.container()
    try:
        path.unlink() if text is None else path.write_text(text)
        state = site.view()
        assert any(words in problem for problem in state.problems)
        if text is not None:
            assert [each.name for each in state.services] == ["apache", "redis"]
        with pytest.raises(GovmaError, match=words):
            site.up()
    finally:
        path.write_text(original)
    assert site.container() == apache
    assert site.leaked(*site.printed, site.written()) == []


def test_without_engine_project_or_compose_the_view_says_so_and_exits_well(
    site: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the view where there is little to see."""
    nowhere = site.command.run("services", "--json", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert nowhere.code == 0, nowhere.err
    assert any("Docker does not answer" in problem for problem in nowhere.json["problems"])
    with pytest.raises(UsageError, match="It has apache, redis"):
        site.up("other")
    (tmp_path / "git").symlink_to(str(shutil.which("git")))
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        patch.setattr(programs, "_PLUGIN_DIRS", ())
        without = site.view()
    assert any("neither docker compose nor docker-compose" in problem for problem in without.problems)
    assert [each.state for each in without.services] == ["running", "running"]
    config = tmp_path / "elsewhere.toml"
    config.write_text(f'state_dir = "{tmp_path}/state"\n[services]\ncompose_dir = "{tmp_path}/none"\n')
    absent = type(site.command)(config, tmp_path / "state").run("services", "--json")
    assert absent.code == 0
    assert "is not there" in json.dumps(absent.json["problems"])


def test_a_deploy_says_that_the_containers_have_to_be_rebuilt(site: Stack) -> None:
    """Guards the warning in the plan and in the log, and that nothing of it is done."""
    apache = site.container()
    site.site.sample.commit({"docker/apache/Dockerfile": dockerfile("six"), ".env.sample": "HTTP_PORT=80\nNEW=\n"}, "x")
    pending = site.run("pending")
    sentence = (
        "This change also needs the containers rebuilt: .env.sample (new: NEW), apache (docker/apache/Dockerfile)"
    )
    assert sentence in pending.out
    assert site.run("pending", "--json").json["containers"].startswith(sentence)
    result = site.run("deploy")
    assert result.code == 0, result.err
    assert sentence in result.err
    assert site.container() == apache
