"""The steps of our operations that work where others can write: each as a function on a World, for races in it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from govma_core.building import node_modules, outputs, tree_snapshot, work_dir
from govma_core.building.asset_cache import AssetCache
from govma_core.building.inputs import Inputs
from govma_core.building.outputs import Outputs
from govma_core.building.tree_files import TreeFiles
from govma_core.context import Context
from govma_core.deploy import ownership, uploads
from govma_core.deploy.vendor import merge, unpacking
from govma_core.disk import dedupe, link_new_version
from govma_core.disk.link_new_version import link_tree
from govma_core.disk.unshare import unshare
from govma_core.disk.usage import measure
from govma_core.disk.verify import Verifier
from govma_core.fs import safefs, trees
from govma_core.promotion import proof, rehearsal_copy
from govma_core.reporting import Reporter
from govma_core.runs import recovery
from govma_core.settings import Settings
from govma_core.text.globs import globs
from govma_core.versions import env_file
from govma_core.versions.contents import ContentsStore
from govma_core.versions.publish import publish
from govma_core.versions.remove import Remover, remove_probes
from govma_core.versions.store import staging
from govma_core.versions.switch import freshen, sweep_links, switch
from tests.support.race_world import HIDDEN, LIVE, NEW, OLD, WEB, World

_SINGLE = ("system/user/config/**", "system/user/templates/**")
_WRITABLE = ("system/user", "html/images")


def _work(work: Callable[[int, World], object]) -> Callable[[World], None]:
    """Make a step of work on the opened tree of the work dir."""

    def step(world: World) -> None:
        with safefs.opened_root(world.root / "work") as fd, safefs.opened(fd, "data") as data:
            work(data, world)

    return step


def _record(data: int, world: World) -> None:
    made = outputs.find_outputs({}, data, None)
    files = Outputs(made.files)
    nothing = Inputs({}, {})
    opener = outputs.opener(data, ".", None)
    AssetCache(world.state, 3).record("key", "run", nothing, files, opener, TreeFiles(data, {}))


def _restore(data: int, world: World) -> None:
    cache = AssetCache(world.state, 3)
    if not cache.entries("key"):
        _record(data, world)
    for entry in cache.entries("key"):
        cache.verify(entry)
        entry.outputs.put(data, entry.open, None)


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
    with work_dir.emptied(world.root / "work", world.state):
        pass


def _publish(world: World) -> None:
    _published(world, world.root / "work")


def _publish_copied(world: World) -> None:
    _published(world, world.other / "work")


def _published(world: World, work_dir: Path) -> None:
    """Publish, linked to what is there before; the version is gone again after it."""
    context = _context(world)

    def prepare(tree: int) -> None:
        link_new_version.link_to_earlier(context, NEW, tree)

    with safefs.opened_root(work_dir) as work, safefs.opened_root(world.versions) as versions:
        try:
            publish(work, "data", versions, NEW, WEB, lambda: None, prepare)
        finally:
            world.look("published")
            trees.remove(versions, NEW)


def _version(work: Callable[[int, int, World], object], name: str = LIVE) -> Callable[[World], None]:
    """Make a step of work on an opened version and the opened versions directory."""

    def step(world: World) -> None:
        with safefs.opened_root(world.versions) as fd, safefs.opened(fd, name) as version:
            work(version, fd, world)

    return step


def _thaw(version: int, versions: int, world: World) -> None:
    name = safefs.random_name("govma-staging")
    place = safefs.make_directory(versions, name, 0o700)
    try:
        unshare(version, _SINGLE, lambda: place)
    finally:
        os.close(place)
        trees.remove(versions, name)


def _context(world: World) -> Context:
    settings = Settings(
        versions_dir=world.versions,
        state_dir=world.state,
        work_dir=world.root / "work",
        keep_single=_SINGLE,
        rehearsal_writable=_WRITABLE,
        web_uid=WEB[0],
        web_gid=WEB[1],
    )
    return Context(settings, Reporter(lambda event: None), "race", "ana", "test", time.time())


def _dedupe(world: World) -> None:
    dedupe.run(_context(world))


def _candidate(world: World) -> None:
    with rehearsal_copy.stage_version(_context(world), LIVE):
        world.look("copied")


def _probe(version: int, versions: int, world: World) -> None:
    with proof.place_probe(versions, [LIVE, OLD]):
        pass
    remove_probes(versions, [LIVE, OLD])


def _leftovers(world: World) -> None:
    recovery.clear_versions(_context(world))


def _unpacked(world: World) -> None:
    places = {"ee": "system"}
    with (
        safefs.opened_root(world.root / "work") as work,
        link_new_version.earlier_files(_context(world), work, places) as earlier,
        unpacking(
            world.root / "work", work, {"ee": world.tarball}, WEB, ContentsStore(world.state, "tarballs"), earlier
        ) as vendor,
    ):
        vendor.result()
        world.look("unpacked")


def _node_modules(world: World) -> None:
    kept, reporter = world.root / "kept", Reporter(lambda event: None)
    with safefs.opened_root(world.root / "work") as work, node_modules.lent(kept, work, reporter):
        pass
    with suppress(FileNotFoundError):
        os.rename(kept, world.root / "work/node_modules")
    node_modules.recover(kept, world.root / "work", reporter)


def _renew(version: int, versions: int, world: World) -> None:
    with staging(versions) as place:
        env_file.renew(world.env, version, place(), WEB)


def _birth(version: int, versions: int, world: World) -> None:
    with safefs.opened(versions, OLD) as old:
        born = link_tree(version, [old], globs(_SINGLE), workers=1)
        ContentsStore(world.state).write(LIVE, born.parts)


def _verify(version: int, versions: int, world: World) -> None:
    Verifier().changes(version, {})


def _switch(world: World) -> None:
    switch(world.store, LIVE, WEB)
    with safefs.opened_root(world.versions) as fd:
        sweep_links(fd)


def _usage(world: World) -> None:
    measure(world.versions, [OLD, LIVE])


def _prune(world: World) -> None:
    Remover(world.store, world.state).remove(OLD)


_IN_LIVE = (f"www_versions/{LIVE}",)
_IN_WORK = ("work/data",)
_EE = tuple(f"www_versions/{LIVE}/system/{path}" for path in ("ee/legacy/5", "ee/legacy", "ee"))
STEPS: dict[str, tuple[Callable[[World], None], tuple[str, ...], tuple[str, ...]]] = {
    "work dir emptied": (_empty, _IN_WORK, ()),
    "snapshot": (_work(lambda data, world: tree_snapshot.take(data)), _IN_WORK, ()),
    "assets recorded": (_work(_record), _IN_WORK, ()),
    "assets restored": (_work(_restore), _IN_WORK, ()),
    "env": (_work(lambda data, world: env_file.install(world.env, data)), _IN_WORK, ()),
    "env renewed": (_version(_renew), _IN_LIVE, ()),
    "ownership": (_work(lambda data, world: ownership.hand_over(data, WEB, 1000)), _IN_WORK, ()),
    "uploads": (_work(_uploads), _IN_WORK, ("uploads/portal/logo.svg", "uploads/portal")),
    "vendor merged": (_work(_merge), _IN_WORK, ()),
    "vendor unpacked": (_unpacked, (), _EE),
    "node_modules": (_node_modules, (), ("work/node_modules/package", "work/node_modules", "kept")),
    "publish": (_publish, _IN_WORK, ()),
    "publish by copying": (_publish_copied, ("OTHER/work/data",), ()),
    "birth": (_version(_birth), _IN_LIVE, ()),
    "candidate": (_candidate, _IN_LIVE, ()),
    "probe": (_version(_probe), _IN_LIVE, ()),
    "thaw": (_version(_thaw), _IN_LIVE, ()),
    "freshen": (_version(lambda version, fd, world: freshen(version)), _IN_LIVE, ()),
    "switch": (_switch, _IN_LIVE, ()),
    "dedupe": (_dedupe, _IN_LIVE, ()),
    "usage": (_usage, _IN_LIVE, ()),
    "verify": (_version(_verify), _IN_LIVE, ()),
    "prune": (_prune, (f"www_versions/{OLD}",), ()),
    "leftovers": (_leftovers, tuple(f"www_versions/{name}" for name in HIDDEN), ()),
}
"""Each step by its name, with the trees of the world in which names are swapped while it works, and further names."""
