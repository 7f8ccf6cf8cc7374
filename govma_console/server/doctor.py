"""Whether the HTTP server is there as a service and may listen where it is told to, looked at from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from govma_console.server.sockets import address_of, open_to_others
from govma_console.server.systemd_units import DIRECTORY, SERVICE, SOCKET
from govma_core.deploy.doctor import Finding
from govma_core.errors import ConfigurationError
from govma_core.settings import Settings
from govma_core.text.language import tr

_SYSTEMD = Path("/run/systemd/system")
_OLD = "dispatcher-server.service"
_PATIENCE = 10


def examine() -> Iterator[Finding]:
    """Look whether the unit is installed and going, and whether the server it takes over from still is."""
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        yield Finding(
            "service",
            "note",
            tr("this machine is not run by systemd: start `govma-console --headless-server` yourself"),
        )
        return
    if not (DIRECTORY / SERVICE).exists():
        said = tr("{service} is not installed: nobody can deploy over HTTP", service=SERVICE)
        install = ("govma-console", "units", "--socket", "--install")
        enable = ("systemctl", "enable", "--now", SOCKET, SERVICE)
        yield Finding("service", "note", said, install, then=(("systemctl", "daemon-reload"), enable))
    elif (state := _ask("is-active", SERVICE)) != "active":
        said = tr("{service} is {state}", service=SERVICE, state=state)
        yield Finding("service", "wrong", said, ("systemctl", "enable", "--now", SERVICE))
    else:
        yield Finding("service", "ok", tr("{service} is active", service=SERVICE))
    if _ask("is-enabled", _OLD) == "enabled" or _ask("is-active", _OLD) == "active":
        said = tr("{old}, which this program takes over from, still has its address", old=_OLD)
        yield Finding("service", "wrong", said, ("systemctl", "disable", "--now", _OLD))


def address(settings: Settings) -> Finding:
    """Look whether a server would begin to listen with these settings."""
    try:
        _, found = address_of(settings)
        said = open_to_others(settings, [str(found[0])])
    except ConfigurationError as error:
        # The tokens may be closed to who asks, if that is not root.
        return Finding("listen_addr", "wrong" if os.geteuid() == 0 else "note", str(error))
    return Finding("listen_addr", "note" if said else "ok", said or settings.listen_addr)


def _ask(question: str, unit: str) -> str:
    """Return systemd's answer in a word."""
    try:
        done = subprocess.run(
            ["systemctl", question, unit], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip().split("\n")[0] or "unknown"
