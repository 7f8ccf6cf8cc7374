"""The service on a test's machine: a sample site, its units, and what systemctl, journalctl and curl say of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from tests.support.machine import COMMAND, Ended, Machine
from tests.support.waiting import wait_for

SITE = "/srv/site"
CONFIG = f"{SITE}/govma-console.toml"
STATE = "/var/lib/govma-console"
URL = "http://127.0.0.1:50024"
NAME = "govma-console.service"
SOCKET = "govma-console.socket"
COULD_NOT_CONNECT = 7
"""Exit code of curl."""
GATE = "/run/gate"
"""A build that waits goes on when there is a file of that name."""
WAITING = f"until [ -e {GATE} ]; do sleep 0.02; done"
_DROP_IN = f"/etc/systemd/system/{NAME}.d/test.conf"
_REPLACED = ("state_dir", "install_command", "build_commands", "asset_inputs")


def make_site(machine: Machine) -> None:
    """Make the sample site and its first version; its state_dir is not the one of the service."""
    machine.out(COMMAND, "demo", SITE)
    machine.shell(f"cp {CONFIG} {CONFIG}.first; rm -r {SITE}/state")


class Service:
    """govma-console.service, stopped at first; settings and units are this test's own."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._settings: dict[str, Any] = {}

    def configure(self, **settings: Any) -> None:
        """Write the settings file: the sample's, with these on top of those of earlier calls."""
        self._settings |= settings
        given = {"state_dir": STATE, "install_command": "true", "build_commands": [], "asset_inputs": []}
        values = given | self._settings
        first = self.machine.out("cat", f"{CONFIG}.first").splitlines()
        kept = [line for line in first if line.split(" = ")[0] not in values]
        # JSON's strings, numbers and arrays are TOML as well.
        lines = [*kept, *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
        self.machine.write(CONFIG, "\n".join(lines) + "\n")

    def install(self, *, socket: bool = False, drop_in: str = "") -> None:
        """Put the units in place, with lines of our own for [Service]."""
        self.command("units", "--install", *(["--socket"] if socket else []))
        if drop_in:
            self.machine.write(_DROP_IN, f"[Service]\n{drop_in}\n")
        self.systemctl("daemon-reload")

    def begin(self, **settings: Any) -> None:
        """Configure, install and start."""
        self.configure(**settings)
        self.install()
        self.systemctl("start", NAME)

    def command(self, *words: str) -> str:
        """Run govma-console with the site's settings."""
        return self.machine.out(COMMAND, "--config", CONFIG, *words)

    def systemctl(self, *words: str) -> str:
        """Run systemctl, which must succeed."""
        return self.machine.out("systemctl", *words)

    def show(self, name: str, unit: str = NAME) -> str:
        """Return a property of the unit."""
        return self.machine.out("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def wait_for_property(self, name: str, value: str, unit: str = NAME) -> None:
        """Wait until a property of the unit has this value."""
        wait_for(lambda: self.show(name, unit) == value, f"{name} of {unit} to be {value}")

    def curl(self, *words: str, user: str = "root") -> Ended:
        """Ask the server for a path, the last word, and wait for the answer."""
        *options, path = words
        return self.machine.run("curl", "--silent", "--show-error", *options, f"{URL}{path}", user=user)

    def deploy(self) -> Future[Ended]:
        """Ask for a deploy; the answer comes when it has ended."""
        return self.machine.start("curl", "--silent", "--show-error", f"{URL}/deploy")

    def runs(self) -> list[dict[str, Any]]:
        """Return the records of all runs, the latest first."""
        found: list[dict[str, Any]] = json.loads(self.command("runs", "--json"))
        return found

    def record(self, run_id: str) -> dict[str, Any]:
        """Return a run's record as it is on disk."""
        found: dict[str, Any] = json.loads(self.machine.out("cat", f"{STATE}/runs/{run_id}/run.json"))
        return found

    def going_in(self, stage: str) -> dict[str, Any]:
        """Wait until a run is in this stage, or one below it, and give its record."""

        def there() -> dict[str, Any] | None:
            for run_id in self.machine.run("ls", "-r", f"{STATE}/runs").out.split():
                # A run that is being made has a folder first, and then its record.
                shown = self.machine.run("cat", f"{STATE}/runs/{run_id}/run.json").out
                record = json.loads(shown) if shown else {"state": "none"}
                if record["state"] == "running" and record["stage"].startswith(stage):
                    return record
            return None

        return wait_for(there, f"a run in stage {stage}")

    def open_gate(self) -> None:
        """Let a build that waits go on."""
        self.machine.out("touch", GATE)

    def version(self) -> str:
        """Return the version that is live."""
        return self.machine.out("readlink", f"{SITE}/www_versions/current-version").strip()


@contextmanager
def fresh_service(machine: Machine) -> Iterator[Service]:
    """Yield the service of a machine, as if it had never run there."""
    service = Service(machine)
    service.configure()
    try:
        yield service
    finally:
        machine.run("touch", GATE)
        machine.run("systemctl", "stop", SOCKET, NAME)
        machine.run("systemctl", "disable", SOCKET, NAME)
        machine.run("systemctl", "reset-failed")
        machine.shell(f"rm -rf {GATE} {_DROP_IN} /etc/systemd/system/govma-console.* {STATE}; systemctl daemon-reload")
