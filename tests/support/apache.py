"""A container of Apache that serves a site's versions, as the operators' compose project runs it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker.models.containers import Container

from govma_core.engine import exec
from govma_core.engine.containers import addresses
from govma_core.promotion.web_page import Address, Answer, NoAnswerError, ask
from tests.support.engine import Engine
from tests.support.waiting import wait_for


@dataclass(frozen=True)
class Apache:
    """A running Apache."""

    container: Container
    address: Address
    service: str

    def get(self, path: str = "/", timeout: float = 10.0) -> Answer:
        return ask(self.address, path, timeout=timeout)

    def run(self, *command: str) -> str:
        """Run a command in the container, as root."""
        client = self.container.client
        assert client is not None
        code, said, error = exec.run(client, str(self.container.id), command)
        assert code == 0, (said, error)
        return said.decode()

    def workers(self) -> list[int]:
        """Return the pids of the workers, as this machine numbers them."""
        rows = self.container.top(ps_args="-eo pid,ppid,comm")["Processes"]
        parents = {row[1] for row in rows}
        return [int(row[0]) for row in rows if row[2] == "apache2" and row[0] not in parents]


@contextmanager
def serving(
    engine: Engine, image: str, versions: Path, uploads: Path, *, wait: bool = True, **options: Any
) -> Iterator[Apache]:
    """Have an Apache of a compose service serve a versions directory, on a port of 127.0.0.1, until the block ends."""
    service = f"apache-{uuid.uuid4().hex[:8]}"
    with engine.client() as client:
        container = client.containers.create(
            image,
            labels={"com.docker.compose.service": service, "com.docker.compose.project": "prod-env"},
            volumes=[f"{versions}:/var/www/versions", f"{uploads}:/var/www/uploads"],
            ports={"80/tcp": ("127.0.0.1", None)},  # type: ignore[dict-item]
            **options,
        )
        try:
            container.start()
            container.reload()
            published = container.attrs["NetworkSettings"]["Ports"].get("80/tcp")
            at = ("127.0.0.1", int(published[0]["HostPort"])) if published else (addresses(container)[0], 80)
            apache = Apache(container, Address(*at), service)
            if wait:
                wait_for(lambda: answers(apache), "Apache")
            yield apache
        finally:
            container.remove(force=True, v=True)


def answers(apache: Apache, path: str = "/static.txt") -> bool:
    """Tell whether it answers at all."""
    try:
        apache.get(path, timeout=2)
    except NoAnswerError:
        return False
    return True


def containers_of(engine: Engine, versions: Path) -> Sequence[str]:
    """Return the names of our own containers that are there."""
    with engine.client() as client:
        label = f"govma-console.site={versions}"
        return [
            str(found.name) for found in client.containers.list(all=True, ignore_removed=True, filters={"label": label})
        ]
