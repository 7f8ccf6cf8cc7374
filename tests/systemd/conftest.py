"""A machine for each module, the service anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.engine import Engine
from tests.support.images import ImageUnavailableError
from tests.support.machine import Machine, machine_of
from tests.support.service import Service, fresh_service, make_site
from tests.support.systemd_image import systemd_image


@pytest.fixture(scope="session", name="systemd_image")
def _systemd_image(docker_engine: Engine) -> Iterator[str]:
    """Give the tag of an image of Debian with systemd."""
    with ExitStack() as stack:
        try:
            tag = stack.enter_context(systemd_image(docker_engine))
        except ImageUnavailableError as error:
            pytest.skip(str(error))
        yield tag


@pytest.fixture(scope="module")
def machine(docker_engine: Engine, systemd_image: str) -> Iterator[Machine]:
    """Give a machine with a sample site."""
    with machine_of(docker_engine, systemd_image) as booted:
        make_site(booted)
        yield booted


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """Give the service, configured but neither installed nor started."""
    with fresh_service(machine) as fresh:
        yield fresh
