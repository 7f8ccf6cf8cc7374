"""The HTTP server as a process of its own, on a sample site and a free port."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from govma_core.runs.store import RunStore
from govma_core.settings import Settings, load
from tests.support.command import environment
from tests.support.sample import SampleSite
from tests.support.waiting import PATIENCE, wait_for

_LISTENING = re.compile(r"Listening on .*?http://([^\s,]+):(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """A server of a sample site, from `with` to the end of the block; `settings` are written into the site's file.

    Nothing of the machine's own configuration reaches it: it has no unix socket, and its secrets are files of the site.
    """

    def __init__(self, site: SampleSite, **settings: Any) -> None:
        self.site = site
        self.log = site.root / "server.log"
        configure(
            site,
            **{
                "listen_addr": "127.0.0.1:0",
                "unix_socket": "",
                "token_file": str(site.root / "tokens"),
                "hook_secret_file": str(site.root / "hook-secret"),
                "drain_timeout": 20,
            }
            | settings,
        )
        self.host, self.port = "127.0.0.1", 0

    @property
    def settings(self) -> Settings:
        """Return the settings as they are in the site's file now."""
        return load({}, file=self.site.config_file).settings

    @property
    def url(self) -> str:
        """Return the address without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def runs(self) -> RunStore:
        return RunStore(self.settings.state_dir)

    def start(self, **variables: str) -> None:
        """Start it, and wait until it listens."""
        line = [sys.executable, "-m", "govma_console", "--config", str(self.site.config_file), "--headless-server"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                line, env=environment(**variables), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self.port = int(wait_for(self._listening, "the server's first line")[2])
        except BaseException:
            self.stop()
            raise

    def _listening(self) -> re.Match[str] | None:
        # The exit first: what it said before is then there.
        ended = self.process.poll() is not None
        said = _LISTENING.search(self.said())
        assert said or not ended, f"the server ended: {self.said()}"
        return said

    def said(self) -> str:
        """Return what it logged so far."""
        return self.log.read_text(errors="replace")

    def stop(self) -> int:
        """Ask it to stop as a service manager does, and give its exit code; killed when it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the server did not stop within {PATIENCE} s:\n{self.said()}") from None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        assert error is not None or "Traceback" not in self.said(), self.said()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a GET, and give the whole answer."""
        return self.ask("GET", path, headers)

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request on a connection of its own, and give the whole answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def memory(self, *, peak: bool = False) -> float:
        """Return its resident memory in MiB, now or at the most so far (proc_pid_status(5))."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        name = "VmHWM:" if peak else "VmRSS:"
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    def descriptors(self) -> int:
        """Return how many files and connections it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def configure(site: SampleSite, **values: Any) -> None:
    """Put settings into a site's file, instead of those of the same names."""
    lines = site.config_file.read_text().splitlines()
    kept = [line for line in lines if line.partition(" ")[0] not in values]
    # JSON's strings, numbers and arrays are TOML as well.
    kept += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items()]
    site.config_file.write_text("\n".join(kept) + "\n")
