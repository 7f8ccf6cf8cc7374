"""The far end of a connection: its address, and its local user as the kernel tells."""

from __future__ import annotations

import dataclasses
import grp
import os
import pwd
import select
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from govma_console.server.browser_guard import is_loopback

Address = tuple[str, int]

_NETLINK_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST = 1
_HEADER = struct.Struct("=IHHII")
_ANY_STATE = 0xFFFFFFFF
_NO_COOKIE = (0xFFFFFFFF, 0xFFFFFFFF)
_OWNER_OFFSET = 64
"""Of inet_diag_msg.idiag_uid and idiag_inode: four bytes, a socket id of 48, and three numbers come before them."""


def owner_of(remote: Address, local: Address) -> int | None:
    """Return the uid that owns the socket from which `remote` is connected to `local`; None when not known."""
    for family, source, destination in _families(remote[0], local[0]):
        with suppress(OSError, struct.error):
            uid = _query_owner(family, (source, remote[1]), (destination, local[1]))
            if uid is not None:
                return uid
    return None


def _families(remote: str, local: str) -> list[tuple[int, bytes, bytes]]:
    """Return both addresses as IPv4 and as IPv6: which of them the other program used cannot be seen from here."""
    first, second = _plain(remote), _plain(local)
    if isinstance(first, IPv4Address) and isinstance(second, IPv4Address):
        mapped = [IPv6Address(f"::ffff:{address}").packed for address in (first, second)]
        return [(socket.AF_INET, first.packed, second.packed), (socket.AF_INET6, mapped[0], mapped[1])]
    return [(socket.AF_INET6, first.packed, second.packed)]


def _plain(host: str) -> IPv4Address | IPv6Address:
    address = ip_address(host.partition("%")[0])
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _query_owner(family: int, source: tuple[bytes, int], destination: tuple[bytes, int]) -> int | None:
    request = (
        struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
        + struct.pack("!HH16s16s", source[1], destination[1], source[0], destination[0])
        + struct.pack("=III", 0, *_NO_COOKIE)
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(1)
        netlink.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST, 1, 0) + request)
        answer = netlink.recv(1 << 13)
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return None
    uid: int
    uid, inode = struct.unpack_from("=II", answer, _HEADER.size + _OWNER_OFFSET)
    # An end that its owner closed has no inode any more, and the uid 0: that must not pass for root.
    return uid if inode else None


_CREDENTIALS = struct.Struct("3i")
_SO_PEERGROUPS = 59
"""unix(7) of Linux 4.13 and later; Python has no name for it."""
_GROUPS_BYTES = 1024
"""As much as getsockopt() gives in Python: 256 groups."""


_LAST_DATA = slice(52, 56)
"""tcpi_last_data_recv in tcp_info of <linux/tcp.h>: milliseconds since the last data came."""
_PATIENCE = 3
"""Seconds within which a server that works reads a request."""


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
        """Return the peer with its local user, where it is on this machine and the kernel knows it."""
        if self.uid is not None or self.remote is None or self.local is None or not self.loopback:
            return self
        return dataclasses.replace(self, uid=owner_of(self.remote, self.local))

    def holds(self, connection: socket.socket) -> bool:
        """Tell whether a process has the far end of a half-closed connection still open; False when not known."""
        if self.remote is None:
            poll = select.poll()
            poll.register(connection, 0)
            return not poll.poll(0)
        return self.loopback and self.local is not None and owner_of(self.remote, self.local) is not None

    def has_given_up(self, connection: socket.socket) -> bool:
        """Tell whether the caller hung up while its request waited to be read, as that of a server that does not start.

        Who sends and hangs up at once is not meant; on unix sockets, where the kernel tells no time, it is.
        """
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        if not poll.poll(0) or self.holds(connection):
            return False
        if self.remote is None:
            return True
        information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA.stop)
        return int.from_bytes(information[_LAST_DATA], sys.byteorder) > _PATIENCE * 1000

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
    return Peer(_as_ipv4(connection.getpeername()), _as_ipv4(connection.getsockname()))


def _as_ipv4(address: tuple[str, int, int, int] | Address) -> Address:
    """Return an address without what IPv6 adds to those of IPv4 on a socket of both families."""
    return address[0].removeprefix("::ffff:") if "." in address[0] else address[0], address[1]


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
