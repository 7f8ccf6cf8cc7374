"""The parts of the containers' view that need no engine: env files, what compose prints, owners, addresses."""

from __future__ import annotations

import http.server
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from govma_core.errors import CommandError, ConfigurationError, PreflightError
from govma_core.services.compose import Question, find_project, load_yaml
from govma_core.services.compose_cache import Answer, keep_answer, key_of, read_answer
from govma_core.services.compose_config import load_config, read_config, read_data
from govma_core.services.downtime_probe import Probe, address
from govma_core.services.drift import faces
from govma_core.services.env_secrets import read_env
from govma_core.services.storage import disk_use, mounted, stores
from govma_core.settings import Settings, load
from tests.support.nesting import nest
from tests.support.waiting import PATIENCE, wait_for


def test_every_reading_of_an_env_file_is_known(tmp_path: Path) -> None:
    """Guards the mask: programs read quotes, comments, escapes and long values in different ways."""
    path = tmp_path / ".env"
    path.write_text(
        '# PASSWORD=old one\nexport A=\'one # two\' #\nB="x\\ny"\nC=a$$b #c\n\nD="first\nsecond"\nE=\nnot a line!\n'
    )
    readings = read_env(path)
    assert set(readings) == {"A", "B", "C", "D", "E"}
    assert "one # two" in readings["A"]
    assert {"x\\ny", "x\ny"} <= readings["B"]
    assert {"a$$b", "a$b"} <= readings["C"]
    assert {"first", "second"} <= readings["D"]
    assert readings["E"] == set()
    assert read_env(tmp_path / "none") == {}


def project_of(directory: Path, text: str = "services: {}\n", env: str = "") -> Settings:
    directory.mkdir(exist_ok=True)
    (directory / "docker-compose.yml").write_text(text)
    (directory / ".env").write_text(env)
    return Settings(services_compose_dir=directory)


@pytest.mark.parametrize(
    ("env", "text", "name"),
    [("", "services: {}", "prod-env"), ("COMPOSE_PROJECT_NAME='Site.1'", "name: x", "site1"), ("", "name: own", "own")],
)
def test_the_project_is_called_as_compose_calls_it(tmp_path: Path, env: str, text: str, name: str) -> None:
    """Guards the label by which containers are found."""
    assert find_project(project_of(tmp_path / "Prod-Env", text, env)).name == name


@pytest.mark.parametrize("separator", [":", ";", ","])
def test_several_files_are_told_apart_as_compose_does_it(tmp_path: Path, separator: str) -> None:
    env = f"COMPOSE_FILE=docker-compose.yml{separator}more.yml\n"
    settings = project_of(tmp_path, env=env + (f"COMPOSE_PATH_SEPARATOR={separator}\n" if separator != ":" else ""))
    assert [path.name for path in find_project(settings).files] == ["docker-compose.yml", "more.yml"]


def test_a_project_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="is not there"):
        find_project(Settings(services_compose_dir=tmp_path / "none"))
    with pytest.raises(PreflightError, match="no compose file"):
        find_project(Settings(services_compose_dir=tmp_path))
    with pytest.raises(PreflightError, match=r"services\.compose_dir is empty"):
        find_project(Settings(services_compose_dir=None))


SECOND = """
name: site
services:
  web:
    build: {context: DIR/docker/apache, dockerfile: Dockerfile}
    command: null
    environment: {KEY: "a$$b", NOTHING: null}
    networks: {cms: {aliases: [www]}, default: null}
    ports: [{mode: ingress, host_ip: 127.0.0.1, target: 80, published: "8080", protocol: tcp}]
    volumes:
      - {type: bind, source: DIR/www, target: /var/www/versions, bind: {create_host_path: true}}
      - {type: volume, source: data, target: /data, read_only: true, volume: {}}
    depends_on: {cache: {condition: service_started, required: true}}
    healthcheck: {test: [CMD, "true"]}
  cache: {image: redis, container_name: c, network_mode: host, entrypoint: [redis, --x]}
networks: {cms: {name: shared, external: true}, default: {name: site_default}}
volumes: {data: {name: site_data}}
"""
FIRST = """
services:
  web:
    build: {context: DIR/docker/apache}
    environment: {KEY: "a$$b", NOTHING: null}
    networks: {cms: {aliases: [www]}, default: null}
    ports: ["127.0.0.1:8080:80/tcp"]
    volumes: ["DIR/www:/var/www/versions:rw", "data:/data:ro"]
    depends_on: [cache]
    healthcheck: {test: [CMD, "true"]}
  cache: {image: redis, container_name: c, network_mode: host, entrypoint: [redis, --x]}
networks: {cms: {external: true, name: shared}}
volumes: {data: {}}
version: '3.7'
"""


def test_both_versions_of_compose_are_understood_alike(tmp_path: Path) -> None:
    """Guards the reader: what differs is how compose joins the names of images."""
    project = find_project(project_of(tmp_path, env="COMPOSE_PROJECT_NAME=site"))
    first, second = (read_config(project, text.replace("DIR", str(tmp_path))) for text in (FIRST, SECOND))
    web = first.services["web"]
    assert web.image == "site_web"
    assert second.services["web"].image == "site-web"
    for name in ("context", "environment", "networks", "ports", "mounts", "depends_on", "command"):
        assert getattr(web, name) == getattr(second.services["web"], name), name
    assert first.services["cache"] == second.services["cache"]
    assert web.context == "docker/apache"
    assert set(web.ports) == {("127.0.0.1", "8080", "80/tcp")}
    assert set(web.networks or ()) == {"shared", "site_default"}
    assert [mount.source for mount in web.mounts] == [f"{tmp_path}/www", "site_data"]
    assert first.secrets["KEY"] == {"a$b"}
    assert first.in_order({"web", "cache"}) == ["cache", "web"]
    assert faces(web, Settings())
    assert not faces(first.services["cache"], Settings())
    for text in ("", "services: [1]", "services: {a: {ports: [{}]}}"):
        with pytest.raises(CommandError, match="not understood"):
            read_config(project, text)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives directories to other users")
def test_owners_of_persistent_directories_are_checked_with_the_command_that_mends_them(tmp_path: Path) -> None:
    for name, owner in (("mysql", 999), ("redis", 0), ("upload-dir", 33)):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, owner, owner)
    (tmp_path / "mysql/data").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "mysql/data", tmp_path / "mysql/again")
    (tmp_path / "pythia").symlink_to(tmp_path)
    settings = Settings(services_storage_dir=tmp_path)
    by_name = {store.name: store for store in stores(settings, disk=True, used={"nginx"})}
    assert [name for name, store in by_name.items() if store.problem] == ["nginx", "redis", "pythia"]
    # Not there, and a container has it mounted.
    assert os.system(by_name["nginx"].mend) == 0
    assert ((tmp_path / "nginx").stat().st_uid, (tmp_path / "nginx").stat().st_gid) == (101, 101)
    assert "is no directory" in by_name["pythia"].problem
    assert by_name["nginx"].owner == ""
    assert os.system(by_name["redis"].mend) == 0
    assert (tmp_path / "redis").stat().st_uid == 1001
    size = by_name["mysql"].size
    assert size is not None
    assert 100_000 < size < 150_000
    fd = os.open(tmp_path, os.O_RDONLY)
    # A link, what is not there, and not enough time.
    assert {disk_use(fd, name, 20) for name in ("pythia", "not-there")} == {(None, False)}
    assert disk_use(fd, "mysql", 1e-9) == (None, False)
    os.close(fd)


def test_a_storage_dir_that_is_not_there_is_a_problem_when_a_container_has_it_mounted(tmp_path: Path) -> None:
    settings = Settings(services_storage_dir=tmp_path / "storage")
    volumes = f"[{tmp_path}/storage/mysql/data:/a, {tmp_path}/other:/b, {tmp_path}/storage:/c]"
    text = f"services:\n  db:\n    image: x\n    volumes: {volumes}\n"
    config = read_config(find_project(project_of(tmp_path / "p", text)), text)
    assert mounted(config, settings) == {"mysql"}
    assert [store.problem for store in stores(settings, used={"mysql"})] == ["services.storage_dir is not there"]
    assert stores(settings) == []


@pytest.mark.parametrize("use", ["${NOT_SET}", "$NOT_SET", "${NOT_SET}x${B}"])
def test_a_variable_that_nothing_sets_is_a_sentence_before_anything_is_made_without_it(
    tmp_path: Path, use: str
) -> None:
    """Guards against containers with nothing where a password was meant; compose only warns."""
    text = f"version: '3.7'\nservices:\n  a:\n    image: x\n    environment: {{A: '{use}'}}\n"
    with pytest.raises(PreflightError, match=r"uses NOT_SET.*\.env \(`NOT_SET=` if empty"):
        load_config(find_project(project_of(tmp_path, text, "B=1\n")))
    assert load_config(find_project(project_of(tmp_path, text, "B=1\nNOT_SET=\n"))).services


def test_the_address_that_is_asked_is_one_that_speaks_http_on_this_machine() -> None:
    """Guards databases from requests, and other machines from a hundred a second."""
    ports = {"db": [("", "3306", "3306/tcp")], "apache": [("", "81", "80/tcp")], "nginx": [("", "443", "443/tcp")]}
    assert address(ports) == "http://127.0.0.1:81"
    assert address({"db": ports["db"]}) == ""
    assert address({"nginx": [("10.0.0.7", "80", "80/tcp")]}) == ""
    assert address(ports, "", "http://localhost:8000") == "http://localhost:8000"
    assert address(ports, "http://[::1]:8000", "http://localhost") == "http://[::1]:8000"
    # activation.url may be the public one.
    for elsewhere in ("https://www.example.org", "http://10.0.0.7", "http://127.example.org"):
        assert address(ports, "", elsewhere) == "http://127.0.0.1:81"


@pytest.mark.parametrize("host", ["example.org", "127.example.org"])
def test_a_probe_url_of_another_machine_is_refused(tmp_path: Path, host: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'[services]\nprobe_url = "http://{host}"\n')
    with pytest.raises(ConfigurationError, match="must be on this machine"):
        load({}, file=file)


@contextmanager
def served(status: int) -> Iterator[http.server.ThreadingHTTPServer]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(server.status)  # type: ignore[attr-defined]
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.status = status  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_seconds_without_an_answer_are_counted_and_a_site_that_never_answered_is_not_missed() -> None:
    """Guards the measure: a server's own failure is no answer; redirects and missing pages are."""
    with served(404) as server:
        probe = Probe(f"http://127.0.0.1:{server.server_port}")
        with probe.going():
            began = time.monotonic()
            assert probe.answers(PATIENCE)
            assert probe.silent == 0
            server.status = 502  # type: ignore[attr-defined]
            wait_for(lambda: probe.silent, "the first failure")
            time.sleep(0.3)
            server.status = 301  # type: ignore[attr-defined]
            assert probe.answers(PATIENCE)
        assert 0.3 <= probe.silent <= time.monotonic() - began
        server.status = 503  # type: ignore[attr-defined]
        other = Probe(probe.url)
        with other.going():
            time.sleep(0.1)
        assert (other.answered, other.silent) == (False, 0)


@pytest.mark.parametrize(("lines", "replicas"), [("scale: 0", 0), ("deploy: {replicas: 0}", 0), ("labels: {}", 1)])
def test_none_is_a_number_of_containers_like_others(tmp_path: Path, lines: str, replicas: int) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    project = find_project(Settings(services_compose_dir=tmp_path))
    config = read_config(project, f"services:\n  one:\n    image: x\n    {lines}\n")
    assert config.services["one"].replicas == replicas


def test_a_tree_deeper_than_anybody_makes_is_measured_and_no_link_followed(tmp_path: Path) -> None:
    """Guards the view: a container can make directories as deep as it likes, and links to anywhere."""
    nest(tmp_path, 150)
    (tmp_path / "d/link").symlink_to("/usr")
    fd = os.open(tmp_path, os.O_RDONLY)
    size, whole = disk_use(fd, "d", 20)
    os.close(fd)
    assert size is not None
    assert size < 100_000_000
    assert whole


@pytest.mark.parametrize(
    ("env", "value"),
    [
        pytest.param("OTHER=open\nSECRET=first${OTHER}second\n", "second", id="a value with another variable in it"),
        pytest.param('SECRET="first\\"second"\n', "second", id="a value with an escape"),
        pytest.param("SECRET: first-second\n", "second", id="a line that only compose understands"),
    ],
)
def test_an_answer_with_a_value_that_only_compose_reads_is_not_kept(tmp_path: Path, env: str, value: str) -> None:
    """Guards `.env` from being in a file of ours where compose reads it by other rules than we do."""
    text = "version: '3.7'\nservices:\n  web:\n    image: redis:7\n    environment: {A: 'x${SECRET}'}\n"
    project = find_project(project_of(tmp_path / "p", text, env))
    data = {"services": {"web": {"image": "redis:7", "environment": {"A": f"xfirst-open-{value}"}}}}
    keep_answer(tmp_path, project, key_of(project), Answer(data, {}, {}))
    path = tmp_path / "services-compose.json"
    assert not path.exists()


def test_the_answer_of_compose_is_kept_without_values_until_a_file_changes(tmp_path: Path) -> None:
    """Guards the view's speed, and `.env` from being in a file of ours: also in pieces, numbers and keys."""
    env = "SECRET=p'a$$s-w\u00f6rd\nPORT=8081\nBASE=/srv/www\nONE=e\nFLAG=true\nNET=cms-net\n"
    text = (
        "version: '3.7'\nservices:\n  web:\n    image: redis:7\n    ports: ['${PORT}:80']\n    networks: [inner]\n"
        "    environment: {A: '${SECRET}', B: '${ONE}${PORT}', C: '${FLAG}', N: 3}\n    volumes: ['${BASE}/x:/www']\n"
        "networks: {inner: {name: '${NET}'}}\n"
    )
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    project = find_project(project_of(tmp_path / "p", text, env))
    printed = Question(project, "config").answer(project.mask)
    key = key_of(project)
    keep_answer(state_dir, project, key, Answer(load_yaml(printed), {"web": ["hash"]}, {"redis:7": "sha256:1"}))
    answer = read_answer(state_dir, project, key)
    assert answer is not None
    assert read_data(project, answer.data) == read_config(project, printed)
    assert (answer.hashes, answer.images) == ({"web": ["hash"]}, {"redis:7": "sha256:1"})
    path = state_dir / "services-compose.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [value for value in ("8081", "/srv/www", "p'a", "rd", "cms-net") if value in path.read_text()] == []
    (project.directory / ".env").write_text(env.replace("8081", "8082"))
    assert key_of(project) != key
    assert read_answer(state_dir, project, key_of(project)) is None
    # What else compose reads then is not known.
    (project.directory / "docker-compose.yml").write_text(f"{text}include:\n  - other.yml\n")
    assert key_of(project) == ""
