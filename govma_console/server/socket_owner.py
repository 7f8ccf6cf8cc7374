"""Whose the other end of a connection within this machine is: the kernel's socket diagnosis, sock_diag(7)."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

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
    """Return the uid that owns the socket from which `remote` is connected to `local`; None when it cannot be told."""
    for family, ours, theirs in _families(remote[0], local[0]):
        with suppress(OSError, struct.error):
            uid = _ask(family, (ours, remote[1]), (theirs, local[1]))
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


def _ask(family: int, source: tuple[bytes, int], destination: tuple[bytes, int]) -> int | None:
    request = (
        struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE)
        + struct.pack("!HH16s16s", source[1], destination[1], source[0], destination[0])
        + struct.pack("=III", 0, *_NO_COOKIE)
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as asking:
        asking.settimeout(1)
        asking.send(_HEADER.pack(_HEADER.size + len(request), _BY_FAMILY, _REQUEST, 1, 0) + request)
        answer = asking.recv(1 << 13)
    if _HEADER.unpack_from(answer)[1] != _BY_FAMILY:
        return None
    uid: int
    uid, inode = struct.unpack_from("=II", answer, _HEADER.size + _OWNER_OFFSET)
    # An end that its owner closed has no inode any more, and the uid 0: that must not pass for root.
    return uid if inode else None
