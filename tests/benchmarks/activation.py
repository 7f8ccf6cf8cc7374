"""What visitors of a real Apache with mod_php get while versions are switched and Apache is reloaded."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from itertools import cycle
from pathlib import Path

from govma_core.promotion import promote
from tests.benchmarks.harness import Row
from tests.support.apache import Apache, serving
from tests.support.apache_image import apache_image
from tests.support.engine import engine_for_tests
from tests.support.load import Load, Witness
from tests.support.php_site import PhpSite, parts
from tests.support.releases import NAMES

_PROMOTIONS = 1000
_ROOTED = 100
_RELOADS = 40
_AFTER = 0.3
"""Seconds for which the witness goes on when the promotion says that it is served."""
_LOOKED = 125
"""Seconds in which the version before is looked for: workers come and go with it until their caches have ended."""
FIRST, SECOND = NAMES[:2]


def measure(folder: Path) -> list[Row]:
    """Return the rows of the issue's table."""
    with engine_for_tests() as engine, apache_image(engine) as image:
        os.environ["DOCKER_HOST"] = engine.host
        site = PhpSite(folder / "site")
        site.add(*NAMES[:4])
        site.live(FIRST)
        with serving(engine, image, site.directory, site.uploads) as apache:
            without = _without(site, apache)
            site.flags = {"activation_containers": [apache.service]}
            return [*_promotions(site, apache), _rooted(site, apache), *_reloads(apache), *without]


def _promotions(site: PhpSite, apache: Apache) -> list[Row]:
    served: list[float] = []
    seen: list[float] = []
    began = time.monotonic()
    with Load(apache.address, ["/", "/static.txt"]) as load:
        for _, name in zip(range(_PROMOTIONS), cycle(NAMES[:4]), strict=False):
            before = site.store.pointer().version
            if name == before:
                continue
            with Witness(apache.address, str(before)) as witness:
                promote.run(site.context(), version=name)
                time.sleep(_AFTER)
            seen.append(witness.last - witness.switched if witness.last else 0.0)
            served.append(float(site.stages()["activation"].remark.split(" after ")[1].split()[0]))
    took = time.monotonic() - began
    what = f"{len(served)} promotions in a row with activation, under load"
    asked = f"{load.answers} requests, {load.answers / took:.0f}/s"
    last = statistics.quantiles(seen, n=100)[98]
    return [
        Row(f"{what}: failed requests", str(len(load.failed)), asked, len(load.failed), 0),
        Row(f"{what}: pages of two versions", str(load.mixed), asked, load.mixed, 0),
        Row(
            f"{what}: switch to the last answer from the version before that anybody gets, p99",
            f"{last:.2f} s",
            f"slowest {max(seen):.2f} s; told by us as {statistics.median(served):.1f} s",
            last,
            1.5,
            " s",
        ),
    ]


def _rooted(site: PhpSite, apache: Apache) -> Row:
    """Switch under pages that find each of their files by the path through the link: theirs may be of two versions."""
    with Load(apache.address, ["/rooted.php"]) as load:
        for _, name in zip(range(_ROOTED), cycle(NAMES[:4]), strict=False):
            if name != site.store.pointer().version:
                promote.run(site.context(), version=name)
    what = f"{_ROOTED} promotions, pages that find each file through the link: pages of two versions"
    return Row(what, str(load.mixed), f"{load.answers} requests", load.mixed, 0)


def _reloads(apache: Apache) -> list[Row]:
    """Reload Apache again and again under wrk: with a connection a request (as nginx asks), then with kept ones."""
    rows = []
    for kept in (False, True):
        header = [] if kept else ["-H", "Connection: close"]
        command = ["wrk", "-t1", "-c8", "-d20s", *header, f"{apache.address}/"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
            time.sleep(1)
            for _ in range(_RELOADS):
                apache.run("apachectl", "-k", "graceful")
                time.sleep(0.4)
            said = wrk.communicate()[0]
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        lost = sum(map(int, errors.groups())) if errors else 0
        lost += int(bad.group(1)) if bad else 0
        total = re.search(r"(\d+) requests in", said)
        connections = "kept connections" if kept else "a connection a request"
        rows.append(
            Row(
                f"{_RELOADS} graceful reloads under load, {connections}: requests dropped",
                str(lost),
                f"{total.group(1) if total else '?'} requests",
                lost,
                0,
            )
        )
    return rows


def _without(site: PhpSite, apache: Apache) -> list[Row]:
    """Measure how long PHP goes on with the version before when nobody is told of the switch."""
    for _ in range(200):
        apache.get()
    promote.run(site.context(), version=SECOND)
    switched = last = time.monotonic()
    while time.monotonic() - switched < _LOOKED:
        if FIRST in parts(apache.get().text):
            last = time.monotonic()
        time.sleep(0.02)
    stale = last - switched
    what = "without activation: PHP answers from the version before, for"
    # What activation is there for: that it takes longer than with it.
    return [Row(what, f"{stale:.0f} s", "", stale, 1.5, " s", at_least=True)]
