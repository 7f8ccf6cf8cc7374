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

from govma_console.server.browser_guard import is_loopback
from govma_console.server.systemd import sockets_from_systemd
from govma_console.server.tokens import Tokens
from govma_core.errors import BusyError, ConfigurationError, GovmaError
from govma_core.settings import Settings
from govma_core.settings.load import local_url, split_address
from govma_core.text.language import tr

_BACKLOG = 1024
_ALL = "::"
"""All addresses: of both families, for a socket that is told so."""
_CONNECT_SECONDS = 5.0
_KEEP_ALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""Lets the kernel find out that the other end is gone (its machine, or the line): 60 s + 4 probes of 15 s."""


@dataclass(slots=True)
class Listeners:
    """The sockets, warnings about them for the operator, and the unix socket's name that is ours to remove."""

    sockets: list[socket.socket]
    warnings: list[str] = field(default_factory=list)
    unix_name: Path | None = None
    unix_inode: int = 0

    def addresses(self) -> list[str]:
        """Return the addresses as URLs that can be copied, and the path of the unix socket."""
        names = [each.getsockname() for each in self.sockets]
        return [str(self.unix_name or name) if isinstance(name, str) else local_url(*name[:2]) for name in names]

    def remove_name(self) -> None:
        """Remove the name of the unix socket, unless it is another server's by now."""
        if self.unix_name is not None:
            with suppress(OSError):
                if self.unix_name.lstat().st_ino == self.unix_inode:
                    self.unix_name.unlink()


def open_listeners(settings: Settings) -> Listeners:
    """Begin to listen.

    ConfigurationError when an address cannot be used, or would let other machines deploy without a token; BusyError
    when another server answers at unix_socket.
    """
    listeners = Listeners(sockets_from_systemd())
    if not listeners.sockets:
        listeners.sockets.append(_listen_tcp(settings))
        if settings.unix_socket is not None:
            _add_unix(settings, settings.unix_socket, listeners)
    for listener in listeners.sockets:
        if listener.family != socket.AF_UNIX:
            for level, option, value in _KEEP_ALIVE:
                # Connections inherit it.
                listener.setsockopt(level, option, value)
    if warning := open_to_others(settings, hosts_of(listeners.sockets)):
        listeners.warnings.append(warning)
    return listeners


def open_to_others(settings: Settings, hosts: Iterable[str]) -> str:
    """Return a warning when other machines can deploy without a token, else ''; ConfigurationError unless allowed."""
    reached = ", ".join(host for host in hosts if not is_loopback(host))
    if not reached or Tokens(settings.token_file).read():
        return ""
    if not settings.allow_unauthenticated_remote:
        raise ConfigurationError(
            "listen_addr ({hosts}) can be reached from other machines, and there is no token: "
            "anybody there could deploy. Make one with `govma-console token NAME`, or listen on "
            "127.0.0.1, or set allow_unauthenticated_remote = true.",
            hosts=reached,
        )
    return tr(
        "EVERYBODY who reaches {hosts} can deploy and read logs: allow_unauthenticated_remote is set.", hosts=reached
    )


def hosts_of(sockets: list[socket.socket]) -> list[str]:
    """Return the addresses of those that are TCP's."""
    return [str(each.getsockname()[0]) for each in sockets if each.family != socket.AF_UNIX]


def _listen_tcp(settings: Settings) -> socket.socket:
    family, address = address_of(settings)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address[0] == _ALL:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
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
    """Return the family and the address that listen_addr stands for; ConfigurationError when there is none.

    As Go's net.Listen has it: no host is all addresses of both families, as is `[::]`; of a name's, IPv4 comes first.
    """
    host, port = split_address(settings.listen_addr)
    if not host:
        host = _ALL if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - what the setting says
    try:
        choices = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(_unusable(settings, error)) from None
    family, _, _, _, address = min(choices, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _unusable(settings: Settings, error: OSError) -> str:
    return tr(
        "listen_addr ({listen_addr}) cannot be used: {strerror}.",
        listen_addr=settings.listen_addr,
        strerror=error.strerror,
    )


def _has_server(path: Path) -> bool:
    """Tell whether a server listens on a unix socket: the name alone may be what a killed one left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_SECONDS)
        try:
            client.connect(str(path))
        except TimeoutError:
            # The connection is not accepted, but a process has the other end.
            return True
        except OSError:
            return False
    return True


def _add_unix(settings: Settings, path: Path, listeners: Listeners) -> None:
    group = -1
    if settings.unix_group:
        try:
            group = grp.getgrnam(settings.unix_group).gr_gid
        except KeyError:
            raise ConfigurationError(
                "unix_group: there is no group {unix_group!r}.", unix_group=settings.unix_group
            ) from None
    # Made beside and renamed: it is never there with other rights, and replaces what a killed server left.
    staged = path.with_name(f".{path.name}-{os.urandom(4).hex()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigurationError("unix_socket ({path}) is there and is no socket; move it away.", path=path)
        if _has_server(path):
            raise BusyError(
                "Another server listens on unix_socket ({path}). Stop that one first, or give this one another "
                "unix_socket.",
                path=path,
            )
        listener.bind(str(staged))
        staged.chmod(0o660 if settings.unix_group else 0o600)
        os.chown(staged, -1, group)
        listener.listen(_BACKLOG)
        listeners.unix_inode = staged.lstat().st_ino
        staged.replace(path)
    except OSError as error:
        listener.close()
        with suppress(OSError):
            staged.unlink()
        listeners.warnings.append(
            tr(
                "unix_socket ({path}) cannot be made: {strerror}. What changes more than a deploy takes a token.",
                path=path,
                strerror=error.strerror,
            )
        )
        return
    listeners.sockets.append(listener)
    listeners.unix_name = path
