"""The units for systemd, as far as they can be told without it; tests/server/systemd runs them."""

from __future__ import annotations

import pytest

from govma_console.server.systemd_units import SERVICE, SOCKET, make_units
from govma_core.errors import ConfigurationError
from govma_core.settings import Settings


@pytest.mark.parametrize(
    ("listen_addr", "streams"),
    [
        ("127.0.0.1:50024", ["127.0.0.1:50024"]),
        (":50024", ["50024"]),
        ("[::1]:50024", ["[::1]:50024"]),
        (":http", ["80"]),
        ("[::]:50024", ["[::]:50024"]),
        # systemd takes no names; of a name's addresses, Go listens on the first of IPv4.
        ("localhost:50024", ["127.0.0.1:50024"]),
    ],
)
def test_the_socket_unit_listens_where_the_server_would(listen_addr: str, streams: list[str]) -> None:
    text = make_units(Settings(listen_addr=listen_addr, unix_socket=None), None, with_socket=True)[SOCKET]
    (stream,) = [line.removeprefix("ListenStream=") for line in text.splitlines() if line.startswith("ListenStream=")]
    assert stream in streams


def test_an_address_that_is_none_makes_no_unit() -> None:
    with pytest.raises(ConfigurationError, match="cannot be used"):
        make_units(Settings(listen_addr="no such host.invalid:50024"), None, with_socket=True)


def test_a_service_that_does_not_start_is_given_up() -> None:
    """Guards against restarts for ever: all that are allowed have to fit into the time in which they are counted."""
    lines = make_units(Settings(), None, with_socket=False)[SERVICE].splitlines()
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    slow_start = 9
    burst = int(values["StartLimitBurst"])
    assert burst <= 10
    assert burst * (int(values["RestartSec"]) + slow_start) < int(values["StartLimitIntervalSec"])
