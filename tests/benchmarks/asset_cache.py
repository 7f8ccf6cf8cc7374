"""A deploy with unchanged asset inputs against the same deploy with --rebuild: real Docker, a real Node build."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from govma_console.sample import create_sample
from tests.benchmarks.harness import Row, console, median, run
from tests.support.engine import engine_for_tests
from tests.support.node_image import node_image

_TIMES = 3


def measure(folder: Path) -> list[Row]:
    """Give the ratio of whole commands."""
    with ExitStack() as stack:
        engine = stack.enter_context(engine_for_tests())
        image = stack.enter_context(node_image(engine))
        site = create_sample(folder / "site", builder="docker", base_image=image, npm=True)
        run(console(site.config_file, "deploy"))
        rebuilt = median(_TIMES, lambda: run(console(site.config_file, "deploy", "--rebuild")))
        reused = median(_TIMES, lambda: run(console(site.config_file, "deploy")))
    return [
        Row(
            "deploy with unchanged asset inputs ÷ with `--rebuild`, Docker and Node",
            f"{reused:.2f} s",
            f"{rebuilt:.2f} s",
            reused / rebuilt,
            0.15,
        )
    ]
