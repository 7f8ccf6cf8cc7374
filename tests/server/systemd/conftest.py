"""A machine for each module, the service anew for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.systemd.service import Service, fresh_service, make_site
from tests.support.engine import Engine
from tests.support.machine import Machine, machine_of


@pytest.fixture(scope="module")
def machine(docker_engine: Engine, systemd_image: str) -> Iterator[Machine]:
    """Yield a machine with a sample site."""
    with machine_of(docker_engine, systemd_image) as booted:
        make_site(booted)
        yield booted


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Yield the service, configured but neither installed nor started."""
    with fresh_service(machine) as fresh:
        yield fresh
