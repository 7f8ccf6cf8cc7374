"""Fixtures of the tests of the containers beside the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.compose_2 import compose_2
from tests.support.engine import Engine
from tests.support.images import ImageUnavailableError
from tests.support.rights import passable
from tests.support.stack import Stack, stack


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory, docker_engine: Engine, busybox_image: str) -> Iterator[Stack]:
    """Yield one site for the module; each test leaves its containers as the compose file wants them."""
    assert busybox_image
    with stack(passable(tmp_path_factory.mktemp("stack")), docker_engine) as made:
        yield made


@pytest.fixture(scope="session", name="compose_2")
def _compose_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory, for PATH, with docker-compose of version 2."""
    try:
        return compose_2(passable(tmp_path_factory.mktemp("compose-2")))
    except ImageUnavailableError as error:
        pytest.skip(str(error))
