"""A deploy with unchanged asset inputs against the same deploy with --rebuild: real Docker, a real Node build.

The site's style sheets are what such sites have: one theme of Bootstrap for each subsite, compiled by Sass.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.harness import Row, console, median, run
from tests.support.engine import engine_for_tests
from tests.support.node_image import node_image
from tests.support.sample import SUBSITES, SampleSite, create_sample

_TIMES = 3
_THEMES = 12  # about the 9 s that the assets of the real site take to build
_SASS = "sass --quiet --style=compressed --no-source-map --load-path=node_modules"
_PACKAGE = {
    "name": "benchmark-site",
    "private": True,
    "scripts": {
        "build:docs": "node tools/build.js docs",
        "prod": f"{_SASS} resources/themes:data/html/assets/css",
    },
    "devDependencies": {"bootstrap": "5.3.3", "sass": "1.77.8"},
}


def measure(folder: Path) -> list[Row]:
    """Return the ratio of whole commands."""
    with ExitStack() as stack:
        engine = stack.enter_context(engine_for_tests())
        # A private engine is found by the commands we start, too.
        os.environ["DOCKER_HOST"] = engine.host
        image = stack.enter_context(node_image(engine))
        site = create_sample(folder / "site", builder="docker", base_image=image, npm=True, files=2000)
        _use_bootstrap(site)
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


def _use_bootstrap(site: SampleSite) -> None:
    changes: dict[str, str | bytes | None] = {
        "package.json": json.dumps(_PACKAGE, indent=2),
        "package-lock.json": None,
    }
    for number, subsite in enumerate(SUBSITES[:_THEMES]):
        theme = f"$primary: hsl({number * 5}, 60%, 40%);\n@import 'bootstrap/scss/bootstrap';\n"
        changes[f"resources/themes/{subsite}.scss"] = theme
    site.commit(changes, "Temas com Bootstrap")
