"""The site that an earlier release of the program made: how it is unpacked, and what that release said about it."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.command import Done

HERE = Path(__file__).parent
ARCHIVE = HERE / "old_state.tar.xz"
OUTPUTS = HERE / "old_outputs.json"
ROOT = "/srv/old-site"
"""What the archive and the outputs have in place of the site's directory."""
KEYS = ("nightly-1", "nightly-2", "nightly-3")
"""Idempotency keys of three deploys over HTTP; the last two shared one run."""

TOO_LATE = "too-late"
"""The key of a deploy that waited for another one when both were killed."""

_SHOWN = ("list", "status", "runs", "history", "config", "verify", "prune --dry-run", "pending --no-fetch", "usage")
# Sizes in blocks are those of the file system; when a duplicate is a few links, so are the sums.
_OF_THE_DISK = frozenset({"size", "exclusive", "shared", "frees", "free", "total", "bytes_freed", "measured"})
_COUNTED = re.compile(r"govma_(runs|stage)\S*total|govma_stage")


@dataclass(frozen=True, slots=True)
class Program:
    """A release of the program, and the settings file of a site."""

    words: tuple[str, ...]
    config: Path

    @property
    def site(self) -> Path:
        return self.config.parent

    def run(self, *arguments: str, code: int | None = 0) -> Done:
        """Run a command to its end; AssertionError when its exit code is another one (None: any will do)."""
        line = [*self.words, "--config", str(self.config), *arguments]
        # Not in the checkout, whose packages would be taken instead of those of an earlier one.
        result = subprocess.run(
            line, cwd="/", env=environment(self.site), capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in result.stderr, result.stderr
        assert code in (None, result.returncode), (
            f"{arguments}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
        )
        return Done(result.returncode, result.stdout, result.stderr)

    @contextmanager
    def server(self) -> Iterator[Server]:
        """Run the HTTP server for the block."""
        with (self.site / "server.log").open("w+") as log:
            line = [*self.words, "--config", str(self.config), "--headless-server"]
            process = subprocess.Popen(line, cwd="/", env=environment(self.site), stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + 60
                while (match := re.search(r"http://127\.0\.0\.1:(\d+)", _text(log.name))) is None:
                    assert process.poll() is None, _text(log.name)
                    assert time.monotonic() < deadline, _text(log.name)
                    time.sleep(0.02)
                yield Server(int(match[1]), (self.site / "token").read_text().strip())
            finally:
                process.terminate()
                process.wait(60)
        assert "Traceback" not in _text(log.name), _text(log.name)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    port: int
    token: str

    def ask(self, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> tuple[int, str]:
        """Send a GET, or a POST of `body` with the site's token; give the status and the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is None:
                connection.request("GET", path, headers=sent)
            else:
                sent = {"content-type": "application/json", "authorization": f"Bearer {self.token}"} | sent
                connection.request("POST", path, json.dumps(body), sent)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def deploy(self, key: str) -> tuple[int, str]:
        """Ask for a deploy by an idempotency key; give the status and the run's id, or what was said."""
        status, text = self.ask("/api/v1/runs", {"operation": "deploy"}, idempotency_key=key)
        return status, json.loads(text)["run"]["id"] if status == 202 else text


def environment(site: Path) -> dict[str, str]:
    """Return the variables of a command: none of this program's, the site's node, by which builds are known again."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOV", "NODE_", "SSH_", "SUDO"))}
    return kept | {
        "PATH": f"{site}/bin:{os.environ['PATH']}",
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "200",
    }


def unpack(variant: str, target: Path) -> Path:
    """Unpack the site as it was after one of the kills, its paths made those below `target`; give its directory."""
    with tarfile.open(ARCHIVE) as archive, tarfile.open(fileobj=archive.extractfile(f"{variant}.tar")) as inner:
        inner.extractall(target, filter="fully_trusted")
    replace_root(target, ROOT, str(target))
    return target


def replace_root(folder: Path, old: str, new: str) -> None:
    """Replace one directory by another in all files that name it."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and old.encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(old.encode(), new.encode()))


def show(program: Program) -> dict[str, Any]:
    """Return what the commands print about a site, in JSON, and the log of each run in words."""
    outputs: dict[str, Any] = {}
    for words in _SHOWN:
        done = program.run(*words.split(), "--json", code=None)
        outputs[words] = {"code": done.code, "json": _plain(done.json, program.site)}
    for record in program.run("runs", "--json", "-n", "99").json:
        log = program.run("log", record["id"], code=None).out
        outputs[f"log {record['id']}"] = log.replace(str(program.site), ROOT).splitlines()
    return outputs


def show_http(program: Program) -> dict[str, Any]:
    """Return what the server answers about a site: its runs, its counters, and the runs of the requests' keys."""
    with program.server() as server:
        status, runs = server.ask("/api/v1/runs", authorization=f"Bearer {server.token}")
        counters = [line for line in server.ask("/metrics")[1].splitlines() if _COUNTED.match(line)]
        return {
            "runs": {"status": status, "json": _plain(json.loads(runs), program.site)},
            "counters": sorted(counters),
            "keys": {key: list(server.deploy(key)) for key in KEYS},
        }


def _plain(value: Any, site: Path) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each, site) for name, each in value.items() if name not in _OF_THE_DISK}
    if isinstance(value, list):
        return [_plain(each, site) for each in value]
    return value.replace(str(site), ROOT) if isinstance(value, str) else value


def _text(path: str) -> str:
    return Path(path).read_text(errors="replace")
