"""A site with its containers: prod-env as a real compose project on the real engine, its images made from busybox.

`apache` serves the versions, `redis` is a second service. What stands in `.env` is random: it can be looked for.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core.context import Outcome
from govma_core.engine import exec
from govma_core.services import up
from govma_core.services.view import View, view
from tests.support.command import Command, environment
from tests.support.engine import Engine
from tests.support.images import busybox_tag
from tests.support.sites import Site, make_site

START = """#!/bin/sh
trap 'kill $child; exit 0' TERM
echo "started with ${DB_PASSWORD} ${REDIS_TOKEN}"
cp /page /srv/page.html
httpd -f -p 80 -h /var/www/versions/current-version/html &
child=$!
wait $child
"""
SLEEP = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
COMPOSE = """
version: "3.7"
services:
  apache:
    build: docker/apache
    ports:
      - "127.0.0.1:${HTTP_PORT}:80"
    environment:
      DB_PASSWORD: ${DB_PASSWORD}
      MODE: production
    env_file: extra.env
    volumes:
      - ${GOV_MA_SERVER_BASE_DIR}:/var/www/versions
      - ${GOV_MA_UPLOAD_DIR}:/var/www/uploads
      - ${GOV_MA_IMAGE_DIR}:/var/www/images
    networks: [cms, cache]
    healthcheck:
      test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1/index.html"]
      interval: 300ms
      timeout: 2s
      retries: 3
    restart: always
  redis:
    image: @IMAGE@
    command: @COMMAND@
    networks: [cache]
networks:
  cms:
  cache:
"""


def dockerfile(page: str, *more: str) -> str:
    """Return the Dockerfile of the web server; `more` are lines at its end."""
    run = f"RUN chmod 755 /start && mkdir -p /srv && echo {page} > /page"
    lines = (f"FROM {busybox_tag()}", "COPY start /start", run, *more, 'CMD ["/start"]')
    return "\n".join(lines) + "\n"


@dataclass
class Stack:
    """The site, its prod-env, and all that was ever printed (`printed`)."""

    site: Site
    engine: Engine
    values: dict[str, str]
    printed: list[str] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return self.site.sample.root / "prod-env"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.values['HTTP_PORT']}"

    @property
    def project(self) -> str:
        return self.site.settings.services_project

    @property
    def command(self) -> Command:
        return Command(self.site.sample.config_file, self.site.settings.state_dir)

    def write_env(self, **changes: str) -> None:
        self.values |= changes
        (self.directory / ".env").write_text("".join(f"{name}={value}\n" for name, value in self.values.items()))

    def compose(self, *arguments: str) -> str:
        line = ["docker-compose", "-p", self.project, *arguments]
        result = subprocess.run(
            line, cwd=self.directory, capture_output=True, text=True, check=False, env=environment()
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def git(self, *arguments: str) -> str:
        line = ["git", *arguments]
        return subprocess.run(line, cwd=self.directory, capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *arguments: str) -> Any:
        """Run our command; what it prints is kept to be looked through."""
        result = self.command.run(*arguments)
        self.printed += [result.out, result.err]
        return result

    def up(self, *names: str, sync: bool = False) -> Outcome:
        """Restart containers in this process; what was said is in `printed`, and in site.log()."""
        try:
            return up.run(self.site.context(), services=list(names) or None, sync=sync)
        finally:
            self.printed.append(self.site.log())

    def view(self, **options: Any) -> View:
        state = view(self.site.context(), **options)
        self.printed.append(json.dumps(state.plain()))
        return state

    def differences(self) -> dict[str, list[str]]:
        """Return the kinds of differences by service."""
        kinds: dict[str, list[str]] = {}
        for row in self.view().differences:
            kinds.setdefault(row.service, []).append(row.kind)
        return kinds

    def states(self) -> dict[str, str]:
        """Return the state of each service."""
        return {row.name: row.state for row in self.view().services}

    def change(self, page: str, *more: str) -> str:
        """Commit another web server, and take it for the commit that is live; give it."""
        self.site.sample.commit({"docker/apache/Dockerfile": dockerfile(page, *more)}, f"Image {page}")
        return self.deployed()

    def deployed(self) -> str:
        """Have the latest commit live, as a deploy leaves it: in the checkout, and in the version's manifest."""
        from govma_core.versions.manifest import ManifestStore

        source = self.site.settings.source_dir
        subprocess.run(["git", "pull", "-q", "--ff-only"], cwd=source, check=True, capture_output=True)
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=source, check=True, capture_output=True, text=True)
        commit = head.stdout.strip()
        store = ManifestStore(self.site.settings.state_dir)
        store.write(_manifest(self.site.current.name, commit))
        return commit

    def page(self) -> str:
        """Return what the web server of the image says of itself."""
        with self.engine.client() as client:
            code, page, error = exec.run(client, self.container(), ["cat", "/page"])
        assert code == 0, error
        return page.decode().strip()

    def container(self, service: str = "apache") -> str:
        """Return the id of the only container of a service."""
        ids = self.containers(service)
        assert len(ids) == 1, ids
        return ids[0]

    def containers(self, service: str) -> list[str]:
        labels = [f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}"]
        with self.engine.client() as client:
            return [str(container.id) for container in client.containers.list(all=True, filters={"label": labels})]

    def image(self) -> str:
        """Return the name of the web server's image, which the versions of compose put together in different ways."""
        with self.engine.client() as client:
            name: str = client.containers.get(self.container()).attrs["Config"]["Image"]
        return name

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/index.html", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def leaked(self, *texts: str) -> list[str]:
        """Return the values of `.env` and of the env file that are anywhere in these texts, by name.

        The directories are in our own settings, too, which a run's record holds: there they are not looked for.
        """
        extra = dict(line.split("=") for line in (self.directory / "extra.env").read_text().splitlines())
        values = self.values | extra
        return [
            f"{name} in {text[max(0, match.start() - 60) : match.end()]!r}"
            for name, value in values.items()
            for text in texts
            if (match := re.search(rf"(?<![0-9.]){re.escape(value)}", text))
            and not (value.startswith("/") and '"versions_dir":' in text)
        ]

    def written(self) -> str:
        """Return everything that is in state_dir."""
        texts = []
        for path in self.site.settings.state_dir.rglob("*"):
            if path.is_file():
                texts.append(path.read_bytes().decode("utf-8", "replace"))
        return "\n".join(texts)


def _manifest(version: str, commit: str) -> Any:
    from govma_core.versions.manifest import Manifest

    fields: dict[str, Any] = dict.fromkeys(("run", "subject", "author", "ref", "by", "origin"), "x")
    return Manifest(version=version, commit=commit, committed=1.0, started=1.0, result="published", **fields)


@contextmanager
def stack(root: Path, engine: Engine) -> Iterator[Stack]:
    """Make a site with its containers running; all of it is gone at the end."""
    site = make_site(root / "site")
    sample = site.sample
    files = {
        "docker/apache/Dockerfile": dockerfile("one"),
        "docker/apache/start": START,
        "docker-compose.yml": COMPOSE.replace("@IMAGE@", busybox_tag()).replace(
            "@COMMAND@", json.dumps(SLEEP).replace("$", "$$")
        ),
        ".env.sample": "HTTP_PORT=80\nDB_PASSWORD=\n",
    }
    sample.commit(files, "Containers")
    subprocess.run(["git", "clone", "-q", str(sample.remote), str(sample.root / "prod-env")], check=True)
    project = f"govma{secrets.token_hex(3)}"
    with sample.config_file.open("a") as file:
        # Not as a table: others add settings of the top behind it.
        file.write(f'\nservices.compose_dir = "{sample.root}/prod-env"\nservices.project = "{project}"\n')
        file.write(f'services.storage_dir = "{sample.root}/persistent-storage"\nservices.up_timeout = 6\n')
    for directory in (sample.upload_dir, sample.image_dir):
        directory.mkdir(parents=True, exist_ok=True)
    values = {
        "HTTP_PORT": str(_free_port()),
        "DB_PASSWORD": f"pä$$-{secrets.token_hex(8)}'q\"#x",
        "REDIS_TOKEN": secrets.token_hex(9),
        "SHORT_PIN": secrets.token_hex(2) + "z",
        "GOV_MA_SERVER_BASE_DIR": str(sample.versions_dir),
        "GOV_MA_UPLOAD_DIR": str(sample.upload_dir),
        "GOV_MA_IMAGE_DIR": str(sample.image_dir),
    }
    site_stack = Stack(site, engine, values)
    site_stack.write_env()
    (site_stack.directory / "extra.env").write_text(
        f"REDIS_TOKEN={values['REDIS_TOKEN']}\nEXTRA_KEY={secrets.token_hex(9)}\n"
    )
    (site.current / "html/index.html").write_text("the site\n")
    site_stack.deployed()
    try:
        site_stack.compose("up", "-d", "--build")
        yield site_stack
    finally:
        remove(engine, project)


def remove(engine: Engine, project: str) -> None:
    """Remove all of a project from the engine."""
    label: dict[str, str | list[str] | bool] = {"label": f"com.docker.compose.project={project}"}
    former: dict[str, str | list[str] | bool] = {"label": f"govma-console.former={project}"}
    with engine.client() as client:
        for labels in (label, former):
            for container in client.containers.list(all=True, filters=labels, ignore_removed=True):
                container.remove(force=True, v=True)
        for network in client.networks.list(filters=label):
            network.remove()
        for name in (f"{project}_apache", f"{project}-apache"):
            for image in client.images.list(name=name):
                client.images.remove(str(image.id), force=True)


def _free_port() -> int:
    """Return a port that nobody listens on, of those that the kernel gives to no connection by itself."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = secrets.choice(range(10_000, 32_768))
            probe.bind(("127.0.0.1", port))
            return port
