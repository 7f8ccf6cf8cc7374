"""The units for systemd: their text, and writing them where systemd looks for them."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from govma_console.server.sockets import address_of
from govma_core.errors import GovmaError, RefusedError
from govma_core.settings import Settings
from govma_core.settings.load import split_address

DIRECTORY = Path("/etc/systemd/system")
SERVICE, SOCKET = "govma-console.service", "govma-console.socket"

_SERVICE = """\
[Unit]
Description=govma-console: deploys of the site, for local callers
After=network.target docker.service
# What does not start is tried ten times. Then systemd closes the sockets, too.
StartLimitIntervalSec=120
StartLimitBurst=10
{requires}
[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
# Wrong settings do not mend themselves.
RestartPreventExitStatus=3
WatchdogSec=60
# A run that goes on is waited for: the server asks for more time again and again, for drain_timeout seconds.
KillMode=mixed
TimeoutStopSec=30
StateDirectory={state}
StateDirectoryMode={state_mode}
UMask=0022
LimitNOFILE=16384
# It gives files to other users and talks to Docker; what it never does is forbidden.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
ProtectClock=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectHostname=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""

_SOCKET = """\
[Unit]
Description=govma-console: its sockets, open also while it restarts

[Socket]
{streams}
Backlog=1024
SocketMode={mode}
{group}
[Install]
WantedBy=sockets.target
"""


def make_units(settings: Settings, config: Path | None, *, with_socket: bool) -> dict[str, str]:
    """Return the units by their file name, made from the settings as they are now."""
    command = [sys.executable, "-P", "-m", "govma_console.cli"]
    if config is not None:
        command += ["--config", str(config.absolute())]
    state = settings.state_dir
    units = {
        SERVICE: _SERVICE.format(
            requires=f"Requires={SOCKET}\nAfter={SOCKET}\n" if with_socket else "",
            command=_escaped([*command, "--headless-server"]),
            state=state.name if state.parent == Path("/var/lib") else "govma-console",
            state_mode="0750" if settings.log_group else "0700",
        )
    }
    if with_socket:
        streams = [_listen_stream(settings)]
        streams += [str(settings.unix_socket)] if settings.unix_socket else []
        units[SOCKET] = _SOCKET.format(
            streams="\n".join(f"ListenStream={stream}" for stream in streams),
            mode="0660" if settings.unix_group else "0600",
            group=f"SocketGroup={settings.unix_group}\n" if settings.unix_group else "",
        )
    return units


def _listen_stream(settings: Settings) -> str:
    """Return listen_addr as systemd.socket(5) wants it: no name, and the port alone for all addresses."""
    if settings.listen_addr.startswith(":"):
        return str(split_address(settings.listen_addr)[1])
    family, address = address_of(settings)
    host = f"[{address[0]}]" if family == socket.AF_INET6 else address[0]
    return f"{host}:{address[1]}"


def install(units: dict[str, str], directory: Path = DIRECTORY) -> list[Path]:
    """Write units where systemd looks for them, and return the paths of those that changed."""
    changed = []
    for name, text in units.items():
        path = directory / name
        try:
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
                path.chmod(0o644)
                changed.append(path)
        except PermissionError:
            raise RefusedError("{path} cannot be written by this user. Run as root.", path=path) from None
        except OSError as error:
            raise GovmaError("{path} cannot be written: {strerror}.", path=path, strerror=error.strerror) from None
    return changed


def _escaped(command: Iterable[str]) -> str:
    """Write a command line as systemd.service(5) reads it: quoted, and % and $ doubled."""
    return " ".join(shlex.quote(word).replace("%", "%%").replace("$", "$$") for word in command)
