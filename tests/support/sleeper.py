"""A container that does nothing, for what a running one means to others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from docker.models.containers import Container

from tests.support.engine import Engine


@contextmanager
def sleeping(engine: Engine, image: str, **options: Any) -> Iterator[Container]:
    """Have a container running; `options` are those of the SDK's run()."""
    with engine.client() as client:
        container = client.containers.run(image, ["sleep", "600"], detach=True, **options)
        try:
            yield container
        finally:
            container.remove(force=True)
