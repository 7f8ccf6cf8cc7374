"""Links swapped in while each of our steps works, 10,000 times a step and more: nothing outside is reached.

The racer has the rights of root: what it cannot do, nobody can. In the work dir it stands for processes of the build
that hold directories open, beside the versions for the web server.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from govma_core import safefs, safetree
from govma_core.build import envfile, ownership, snapshot, uploads, workdir
from govma_core.build.asset_cache import AssetCache
from govma_core.build.vendor import merge
from govma_core.disk.birth import link_tree
from govma_core.disk.contents import ContentsStore
from govma_core.disk.thaw import thaw
from govma_core.disk.usage.measure import measure
from govma_core.disk.verify import Verifier
from govma_core.errors import GovmaError
from govma_core.globs import globs
from govma_core.operations import dedupe
from govma_core.operations.context import Context
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.versions.promotion import freshen, sweep_links, switch
from govma_core.versions.publish import publish
from govma_core.versions.removal import Remover
from govma_core.versions.store import VersionStore
from tests.faults.result import Result
from tests.support.canary import Canary
from tests.support.racer import Racer

WEB = (33, 33)
_NAMES = (
    "html/uploads",
    "html/uploads/portal",
    "html/uploads/portal/logo.svg",
    "html/images",
    "html/inner.css",
    "html",
    "system",
    "system/user",
    "system/user/config",
    "system/user/config/.env",
    "system/user/templates",
    "system/user/templates/inner.css",
)
_OLD, _LIVE, _NEW = (f"data-build--2022-01-0{day}-00h00m00s" for day in (1, 2, 3))
_SINGLE = ("system/user/config/**", "system/user/templates/**")


def sweep(folder: Path, rounds: int = 10_000, least: int = 20) -> Result:
    """Run each step again and again, `least` times or more, until its racer has had `rounds` rounds."""
    folder.chmod(0o755)
    began = time.monotonic()
    world = World(folder)
    races = executed = 0
    for name in STEPS:
        done, times = world.race(name, rounds, least)
        races, executed = races + done, executed + times
    for problem in world.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        f"links swapped in while each of {len(STEPS)} steps works",
        f"{races} swaps, {executed} executions",
        f"{world.refused} times it ended with an error; {time.monotonic() - began:.0f} s",
        len(world.problems),
        min(races, executed),
    )


class World:
    """A work dir and versions, a canary beside them, and what went wrong so far."""

    def __init__(self, folder: Path) -> None:
        self.root = folder.resolve() / "world"
        self.canary = Canary(folder / "canary")
        self.env = folder / "env"
        self.env.write_text("DB_PASSWORD=secret")
        self.problems: list[str] = []
        self.refused = 0
        self.state = self.root / "state"

    @property
    def versions(self) -> Path:
        return self.root / "www_versions"

    @property
    def store(self) -> VersionStore:
        return VersionStore(self.versions)

    def make(self) -> None:
        """Lay it anew."""
        shutil.rmtree(self.root, ignore_errors=True)
        for tree in (self.root / "work/data", *(self.versions / name for name in (_OLD, _LIVE))):
            make_tree(tree)
        (self.root / "vendor/ee/legacy").mkdir(parents=True)
        (self.root / "vendor/ee/legacy/file").write_text("ee")
        (self.root / "uploads/portal").mkdir(parents=True)
        (self.root / "uploads/portal/kept").write_text("people's")
        (self.versions / "current-version").symlink_to(_LIVE)
        self.state.mkdir()

    def race(self, name: str, rounds: int, least: int) -> tuple[int, int]:
        """Race one step; give the rounds of the racer and how often the step was executed."""
        step, place = STEPS[name]
        times = 0
        # Deepest first: what lies below a name that is away cannot be exchanged.
        names = [f"{tree}/{inner}" for tree in place for inner in reversed(_NAMES)]
        if any(tree.startswith("www_versions") for tree in place):
            names += [f"www_versions/{_OLD}", "www_versions/current-version"]
        if name == "uploads":
            names += ["uploads/portal", "uploads/portal/logo.svg"]
        pairs = [(self.root / inner, self._target(inner)) for inner in names]
        with Racer(pairs, None) as racer:
            while racer.rounds < rounds or times < least:
                # Laid anew while nobody swaps: what does that here follows links.
                racer.pause()
                self.make()
                racer.go_on()
                try:
                    step(self)
                except (GovmaError, OSError):
                    self.refused += 1
                except Exception as error:
                    self.problems.append(f"{name}: a fault of ours, {error!r}")
                times += 1
                racer.pause()
                self.problems += [f"{name}: read into {path}" for path in self.canary.found_in(self.root)]
                racer.go_on()
            done = racer.rounds
        self.problems += [f"{name}: changed {path}" for path in self.canary.changes()]
        self.problems += [f"{name}: read into {path}" for path in self.canary.found_in(self.root)]
        return done, times

    def _target(self, inner: str) -> Path:
        is_file = inner.endswith((".svg", ".css", ".env"))
        return self.canary.root / ("build" if is_file else "build-folder")


def make_tree(tree: Path) -> None:
    """Make what a version holds."""
    for name in (*_NAMES[2::3], *_NAMES):
        path = tree / name
        if path.suffix or path.name == ".env":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}" * 50)
        else:
            path.mkdir(parents=True, exist_ok=True)
    for number in range(20):
        path = tree / f"system/user/templates/{number}.css"
        path.write_text(f"{number}" * 400)
        # Shared, as thawing finds them.
        os.link(path, path.with_suffix(".twin"))


def _work(work: Callable[[int, World], object]) -> Callable[[World], None]:
    """Make a step of work on the opened tree of the work dir."""

    def step(world: World) -> None:
        with safefs.opened_root(world.root / "work") as fd, safefs.opened(fd, "data") as data:
            work(data, world)

    return step


def _record(data: int, world: World) -> None:
    changed = snapshot.changes({}, data)
    AssetCache(world.state, 3).record("key", snapshot.Changes(changed.files, (), ()), data, "run")


def _restore(data: int, world: World) -> None:
    cache = AssetCache(world.state, 3)
    if cache.find("key") is None:
        _record(data, world)
    entry = cache.find("key")
    assert entry is not None or world
    if entry is not None:
        cache.restore(entry, data)


def _uploads(data: int, world: World) -> None:
    reporter = Reporter(lambda event: None)
    for policy in ("keep", "overwrite"):
        with safefs.opened(data, "html") as html:
            uploads.synchronise(
                html,
                "uploads",
                world.root / "uploads",
                policy=policy,
                kept_dir=world.state / "replaced",
                owner=WEB,
                reporter=reporter,
            )
    with safefs.opened(data, "html") as html:
        uploads.replace_by_link(html, "uploads", "../../../uploads", WEB)


def _merge(data: int, world: World) -> None:
    with safefs.opened_root(world.root / "vendor") as staged, safefs.opened(data, "system") as system:
        merge(staged, system, "ee")


def _empty(world: World) -> None:
    with workdir.emptied(world.root / "work", world.state):
        pass


def _publish(world: World) -> None:
    with safefs.opened_root(world.root / "work") as work, safefs.opened_root(world.versions) as versions:
        safetree.TreeCopier(WEB).copy_directory(work, versions, "data", "data", safefs.random_name("govma-incoming"))
        with suppress(GovmaError):
            publish(work, "data", versions, _NEW, WEB, lambda: None)
        safetree.remove(versions, _NEW)


def _version(work: Callable[[int, int, World], object], name: str = _LIVE) -> Callable[[World], None]:
    """Make a step of work on an opened version and the opened versions directory."""

    def step(world: World) -> None:
        with safefs.opened_root(world.versions) as fd, safefs.opened(fd, name) as version:
            work(version, fd, world)

    return step


def _thaw(version: int, versions: int, world: World) -> None:
    name = safefs.random_name("govma-staging")
    place = safefs.make_directory(versions, name, 0o700)
    try:
        thaw(version, _SINGLE, lambda: place)
    finally:
        os.close(place)
        safetree.remove(versions, name)


def _dedupe(world: World) -> None:
    settings = Settings(versions_dir=world.versions, state_dir=world.state)
    dedupe.run(Context(settings, Reporter(lambda event: None), "race", "ana", "test", time.time()))


def _birth(version: int, versions: int, world: World) -> None:
    with safefs.opened(versions, _OLD) as old:
        born = link_tree(version, [old], globs(_SINGLE), workers=1)
        ContentsStore(world.state).write(_LIVE, born.parts)


def _verify(version: int, versions: int, world: World) -> None:
    Verifier().changes(version, {})


def _switch(world: World) -> None:
    switch(world.store, _LIVE, WEB)
    with safefs.opened_root(world.versions) as fd:
        sweep_links(fd)


def _usage(world: World) -> None:
    measure(world.versions, [_OLD, _LIVE], current=_LIVE, cache_dir=None)


def _prune(world: World) -> None:
    Remover(world.store, world.state).remove(_OLD)


STEPS: dict[str, tuple[Callable[[World], None], tuple[str, ...]]] = {
    "work dir emptied": (_empty, ("work/data",)),
    "snapshot": (_work(lambda data, world: snapshot.take(data)), ("work/data",)),
    "assets recorded": (_work(_record), ("work/data",)),
    "assets restored": (_work(_restore), ("work/data",)),
    "env": (_work(lambda data, world: envfile.install(world.env, data)), ("work/data",)),
    "ownership": (_work(lambda data, world: ownership.hand_over(data, WEB, 1000)), ("work/data",)),
    "uploads": (_work(_uploads), ("work/data",)),
    "vendor merged": (_work(_merge), ("work/data",)),
    "publish": (_publish, ("work/data",)),
    "birth": (_version(_birth), (f"www_versions/{_LIVE}",)),
    "thaw": (_version(_thaw), (f"www_versions/{_LIVE}",)),
    "freshen": (_version(lambda version, fd, world: freshen(version)), (f"www_versions/{_LIVE}",)),
    "switch": (_switch, (f"www_versions/{_LIVE}",)),
    "dedupe": (_dedupe, (f"www_versions/{_LIVE}",)),
    "usage": (
        _usage,
        (f"www_versions/{_LIVE}",),
    ),
    "verify": (_version(_verify), (f"www_versions/{_LIVE}",)),
    "prune": (_prune, (f"www_versions/{_OLD}",)),
}
"""Each step by its name, with the trees of the world in which links are swapped while it works."""
