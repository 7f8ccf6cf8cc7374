"""What stands in the env file, printed by a build and quoted by errors: looked for wherever something is written."""

from __future__ import annotations

import json
import os
import secrets
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.faults.result import Result
from tests.support.command import Command
from tests.support.crashes import CrashSite
from tests.support.server import Server

_COMMANDS = (
    ["config"],
    ["config", "--json"],
    ["log"],
    ["runs"],
    ["status", "--json"],
    ["list", "--json"],
    ["doctor"],
    ["doctor", "--json"],
    ["check", "current-version"],
    ["verify"],
)
"""Commands whose output is looked at."""


class _Arguments(threading.Thread):
    """Looks at the arguments of all processes for as long as the block lasts, but for those of the build itself."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._words = [word.encode() for word in words]
        self._over = threading.Event()
        self.found: set[str] = set()
        self.looks = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(0.05):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    # What the build does is its own affair: the test has put the secrets into its commands.
                    if process.stat().st_uid != 1000 and self._named(process / "cmdline"):
                        self.found.add((process / "cmdline").read_bytes().decode("latin-1"))

    def _named(self, arguments: Path) -> bool:
        line = arguments.read_bytes()
        return any(word in line for word in self._words)


def _answers(site: CrashSite, command: Command) -> list[str]:
    """Return what the HTTP server and a command say of a deploy whose build prints secrets."""
    with Server(site.sample, install_command=site.flags["install_command"], asset_inputs=[]) as server:
        told = [server.get(path).text for path in ("/deploy", "/deploy?force=1", "/healthz", "/readyz", "/metrics")]
        if "***" not in told[0]:
            site.problems.append(f"the server's answer says nothing that was masked: {told[0][-300:]}")
        told.append(server.said())
    done = command.run("deploy", "--force", "--rebuild")
    return [*told, done.out, done.err]


def sweep(folder: Path) -> Result:
    """Deploy with builds that print the secrets, end with them, and with an error that names one."""
    folder.chmod(0o755)
    site = CrashSite.make(folder / "site")
    words = [secrets.token_urlsafe(12) for _ in range(6)]
    settings = site.settings
    settings.env_file.write_text("".join(f"SECRET_{number}='{word}'\n" for number, word in enumerate(words)))
    command = Command(site.sample.config_file, settings.state_dir)
    site.flags["asset_inputs"] = []
    said = []
    looks = 0
    for number, word in enumerate(words):
        ending = ("true", f"exit 3 # {word}", f"sh -c 'echo {word} >&2; kill -9 $$'")[number % 3]
        site.flags["install_command"] = f"printf 'a {word} b\\n{word}\\r\\nno end {word}'; {ending}"
        with _Arguments(words) as arguments:
            record, _, _ = site.run("none", "deploy")
        looks += arguments.looks
        site.problems += [f"a secret is among the arguments of {line}" for line in arguments.found]
        if "***" not in (site.store.path(record.id) / "events.jsonl").read_text():
            site.problems.append(f"the build of run {record.id} printed nothing that was masked")
    for line in _COMMANDS:
        done = command.run(*line)
        said.append(done.out + done.err)
    said += _answers(site, command)
    places = [text for text in said if any(word in text for word in words)]
    looked = 0
    for at, _, names in os.walk(settings.state_dir):
        for name in names:
            path = Path(at, name)
            text = "" if path.is_symlink() else path.read_bytes().decode("latin-1")
            if name == "run.json":
                # The settings of a run hold its commands: here, and only here, the test put the secrets into them.
                text = str({key: value for key, value in json.loads(text).items() if key != "settings"})
            looked += 1
            if any(word in text for word in words):
                places.append(str(path))
    site.problems += [f"a secret is in {place[:200]}" for place in places]
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "values of the env file printed by builds that go well, fail and are killed",
        f"{len(words)} builds",
        f"looked for in {looked} files, {len(said)} commands and answers, and {looks} times in all arguments",
        len(site.problems),
        looked,
    )
