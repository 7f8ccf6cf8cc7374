"""Who is at the other end of a connection: which local user, as far as the kernel tells."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass

from govma_console.server.guard import is_loopback
from govma_console.server.socket_owner import Address, owner_of

_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59
"""unix(7) of Linux 4.13 and later; Python has no name for it."""
_GROUPS_BYTES = 1024
"""As much as getsockopt() gives in Python: 256 groups."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The far end of a connection: the addresses of TCP, none for a unix socket, and the local user if known."""

    remote: Address | None = None
    local: Address | None = None
    uid: int | None = None
    gid: int | None = None
    groups: frozenset[int] = frozenset()

    @property
    def unix(self) -> bool:
        """True for a unix socket."""
        return self.remote is None

    @property
    def loopback(self) -> bool:
        """True when the other end is on this machine."""
        return self.remote is None or is_loopback(self.remote[0])

    @property
    def superuser(self) -> bool:
        """True for root, and for the user that this server runs as."""
        return self.uid in (0, os.geteuid())

    @property
    def key(self) -> str:
        """Return what counts as one caller: a local user, or another machine."""
        return f"uid {self.uid}" if self.uid is not None or self.remote is None else self.remote[0]

    def identified(self) -> Peer:
        """Return it with the local user behind a connection from this machine, if that can be told."""
        if self.uid is not None or self.remote is None or self.local is None or not self.loopback:
            return self
        return dataclasses.replace(self, uid=owner_of(self.remote, self.local))

    def holds(self, connection: socket.socket) -> bool:
        """Tell whether somebody still has the far end of a connection that brings no more; False if nobody can tell."""
        if self.remote is None:
            poll = select.poll()
            poll.register(connection, 0)
            return not poll.poll(0)
        return self.loopback and self.local is not None and owner_of(self.remote, self.local) is not None

    def in_group(self, name: str) -> bool:
        """Tell whether the user of a unix socket is in a group of that name."""
        if not name or self.uid is None:
            return False
        with suppress(KeyError):
            group = grp.getgrnam(name)
            return group.gr_gid in self.groups | {self.gid} or user_name(self.uid) in group.gr_mem
        return False


def peer_of(connection: socket.socket) -> Peer:
    """Return the far end of a connection that was accepted; OSError when it is gone."""
    if connection.family == socket.AF_UNIX:
        _, uid, gid = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return Peer(uid=uid, gid=gid, groups=_groups(connection))
    return Peer(connection.getpeername()[:2], connection.getsockname()[:2])


def _groups(connection: socket.socket) -> frozenset[int]:
    """Return the supplementary groups of a unix socket's other end: those its process has, whatever group(5) says."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        # An old kernel, or more groups than fit.
        return frozenset()
    return frozenset(struct.unpack(f"={len(data) // 4}I", data))


def user_name(uid: int) -> str:
    """Return the name of a user, or the number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
