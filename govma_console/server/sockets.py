"""The sockets that are listened on: those that systemd hands over, else listen_addr and unix_socket."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_console.server.peer import is_loopback
from govma_console.server.systemd import handed_over
from govma_console.server.tokens import Tokens
from govma_core.errors import BusyError, ConfigurationError, GovmaError
from govma_core.settings import Settings
from govma_core.settings.load import split_address
from govma_core.text.language import tr

_BACKLOG = 1024
_PATIENCE = 5.0
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""Lets the kernel find out that the other end is gone (its machine, or the line): 60 s + 4 probes of 15 s."""


@dataclass(slots=True)
class Listeners:
    """What is listened on, sentences about what an operator should know of it, and the name that is ours to remove."""

    sockets: list[socket.socket]
    notes: list[str] = field(default_factory=list)
    unix_name: Path | None = None
    unix_inode: int = 0

    def shown(self) -> list[str]:
        """Return the addresses as people write them."""
        names = [each.getsockname() for each in self.sockets]
        return [
            str(self.unix_name or name) if isinstance(name, str) else f"http://{name[0]}:{name[1]}" for name in names
        ]

    def remove_name(self) -> None:
        """Take the name of the unix socket away, unless it is another server's by now."""
        if self.unix_name is not None:
            with suppress(OSError):
                if self.unix_name.lstat().st_ino == self.unix_inode:
                    self.unix_name.unlink()


def open_listeners(settings: Settings) -> Listeners:
    """Begin to listen.

    ConfigurationError when an address cannot be used, or would let other machines deploy without a token; BusyError
    when another server answers at unix_socket.
    """
    found = Listeners(handed_over())
    if not found.sockets:
        found.sockets.append(_tcp(settings))
        if settings.unix_socket is not None:
            _add_unix(settings, settings.unix_socket, found)
    for listener in found.sockets:
        if listener.family != socket.AF_UNIX:
            for level, option, value in _KEEP_ALIVE:
                # Connections inherit it.
                listener.setsockopt(level, option, value)
    if said := open_to_others(settings, hosts_of(found.sockets)):
        found.notes.append(said)
    return found


def open_to_others(settings: Settings, hosts: Iterable[str]) -> str:
    """Say that others can deploy without a token, '' when they cannot; ConfigurationError unless that is wanted."""
    reached = ", ".join(host for host in hosts if not is_loopback(host))
    if not reached or Tokens(settings.token_file).read():
        return ""
    if not settings.allow_unauthenticated_remote:
        raise ConfigurationError(
            tr(
                "listen_addr ({hosts}) can be reached from other machines, and there is no token: "
                "anybody there could deploy. Make one with `govma-console token NAME`, or listen on "
                "127.0.0.1, or set allow_unauthenticated_remote = true.",
                hosts=reached,
            )
        )
    return tr(
        "EVERYBODY who reaches {hosts} can deploy and read logs: allow_unauthenticated_remote is set.", hosts=reached
    )


def hosts_of(sockets: list[socket.socket]) -> list[str]:
    """Return the addresses of those that are TCP's."""
    return [str(each.getsockname()[0]) for each in sockets if each.family != socket.AF_UNIX]


def _tcp(settings: Settings) -> socket.socket:
    family, address = address_of(settings)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        # A port that another server still holds may be free in a moment; an address that is none never is.
        raise (GovmaError if error.errno == errno.EADDRINUSE else ConfigurationError)(
            _unusable(settings, error)
        ) from None
    return listener


def address_of(settings: Settings) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Return the family and the address that listen_addr stands for; ConfigurationError when there is none."""
    host, port = split_address(settings.listen_addr)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise ConfigurationError(_unusable(settings, error)) from None
    return family, address


def _unusable(settings: Settings, error: OSError) -> str:
    return tr(
        "listen_addr ({listen_addr}) cannot be used: {strerror}.",
        listen_addr=settings.listen_addr,
        strerror=error.strerror,
    )


def _answers(path: Path) -> bool:
    """Tell whether somebody listens on a unix socket: the name alone may be what a killed server left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_PATIENCE)
        try:
            asking.connect(str(path))
        except TimeoutError:
            # Nobody takes the connection, but somebody holds the other end.
            return True
        except OSError:
            return False
    return True


def _add_unix(settings: Settings, path: Path, found: Listeners) -> None:
    group = -1
    if settings.unix_group:
        try:
            group = grp.getgrnam(settings.unix_group).gr_gid
        except KeyError:
            raise ConfigurationError(
                tr("unix_group: there is no group {unix_group!r}.", unix_group=settings.unix_group)
            ) from None
    # Made beside and renamed: never there with other rights, and the one that a killed server left is replaced.
    staged = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError(tr("unix_socket ({path}) is there and is no socket; move it away.", path=path))
        if _answers(path):
            raise BusyError(
                tr(
                    "Another server listens on unix_socket ({path}). Stop that one first, or give this one another "
                    "unix_socket.",
                    path=path,
                )
            )
        listener.bind(str(staged))
        staged.chmod(0o660 if settings.unix_group else 0o600)
        os.chown(staged, -1, group)
        listener.listen(_BACKLOG)
        found.unix_inode = staged.lstat().st_ino
        staged.replace(path)
    except OSError as error:
        listener.close()
        with suppress(OSError):
            staged.unlink()
        found.notes.append(
            tr(
                "unix_socket ({path}) cannot be made: {strerror}. What changes more than a deploy takes a token.",
                path=path,
                strerror=error.strerror,
            )
        )
        return
    found.sockets.append(listener)
    found.unix_name = path
