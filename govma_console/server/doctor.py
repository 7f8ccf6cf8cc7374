"""The checks of `doctor` for the HTTP server: whether it is a running service, and whether it may listen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from govma_console.server.sockets import address_of, open_to_others
from govma_console.server.systemd_units import DIRECTORY, SERVICE, SOCKET
from govma_console.server.tokens import read_secret
from govma_core.deploy.doctor import Finding
from govma_core.errors import ConfigurationError
from govma_core.settings import Settings
from govma_core.settings.load import local_url, split_address
from govma_core.text.language import tr

_SYSTEMD = Path("/run/systemd/system")
_OLD = "dispatcher-server.service"
_PATIENCE = 10


def examine(settings: Settings) -> Iterator[Finding]:
    """Check that a server would begin to listen with these settings, and is there to take deploys and git hooks."""
    yield _address(settings)
    secret = settings.hook_secret_file
    # Without hooks the usual place is empty.
    if secret is not None and (secret.exists() or secret != Settings().hook_secret_file):
        yield _hook_secret(secret)
    yield from _units()


def _units() -> Iterator[Finding]:
    """Check that the unit is installed and active, and the server that it takes over from is not."""
    if not _SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        yield Finding(
            "service",
            "note",
            tr("this machine is not run by systemd: start `govma-console --headless-server` yourself"),
        )
        return
    is_installed = (DIRECTORY / SERVICE).exists()
    if not is_installed:
        message = tr("{service} is not installed: nobody can deploy over HTTP", service=SERVICE)
        install = ("govma-console", "units", "--socket", "--install")
        enable = ("systemctl", "enable", "--now", SOCKET, SERVICE)
        yield Finding("service", "note", message, install, then=(("systemctl", "daemon-reload"), enable))
    elif (state := _systemctl("is-active", SERVICE)) != "active":
        message = tr("{service} is {state}", service=SERVICE, state=state)
        yield Finding("service", "wrong", message, ("systemctl", "enable", "--now", SERVICE))
    else:
        yield Finding("service", "ok", tr("{service} is active", service=SERVICE))
    if _systemctl("is-enabled", _OLD) == "enabled" or _systemctl("is-active", _OLD) == "active":
        message = tr("{old}, which this program takes over from, still has its address", old=_OLD)
        # Before this one is installed it is simply the server that there is.
        disable = ("systemctl", "disable", "--now", _OLD)
        yield Finding("service", "wrong" if is_installed else "note", message, disable)


def _address(settings: Settings) -> Finding:
    """Check that a server would begin to listen with these settings."""
    try:
        _, (host, *_) = address_of(settings)
        warning = open_to_others(settings, [str(host)])
    except ConfigurationError as error:
        # Without root the tokens may not be readable.
        return Finding("listen_addr", "wrong" if os.geteuid() == 0 else "note", str(error))
    return Finding(
        "listen_addr", "note" if warning else "ok", warning or local_url(*split_address(settings.listen_addr))
    )


def _hook_secret(path: Path) -> Finding:
    """Check that git servers that know the secret are listened to."""
    try:
        has_secret = bool(read_secret(path))
    except ConfigurationError as error:
        # Without root it need not be readable.
        return Finding("hook_secret_file", "wrong" if os.geteuid() == 0 else "note", str(error))
    if has_secret:
        return Finding("hook_secret_file", "ok", str(path))
    return Finding("hook_secret_file", "wrong", tr("{path} is empty or not there: git hooks are refused", path=path))


def _systemctl(query: str, unit: str) -> str:
    """Return the one word that systemctl prints."""
    try:
        completed = subprocess.run(
            ["systemctl", query, unit], capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return completed.stdout.strip().split("\n")[0] or "unknown"
