"""Dedupe and linking at publish, against rdfind, jdupes and hardlink on the same sets of versions.

Both sides are whole processes and end with a sync of the file system; ours keeps every safety measure. They take turns,
each on a fresh set. "39 linked" is a set whose older versions our dedupe has linked.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from govma_core.context import Context
from govma_core.disk.link_new_version import link_tree
from govma_core.disk.usage import account
from govma_core.fs import safefs
from govma_core.settings import Settings
from govma_core.text.globs import globs
from tests.benchmarks.disk_peers import (
    PEERS,
    SHAPE,
    Measured,
    dedupe_alone,
    disk_usage,
    fresh_corpus,
    measured,
    peer,
    require_peers,
    settle,
)
from tests.benchmarks.harness import Row, console, run
from tests.benchmarks.memory import OURS, peak_memory
from tests.support.corpus import make_corpus

_ROUNDS = 3
_OTHERS = 10
_GOALS = {"rdfind": 0.45, "jdupes": 0.35, "hardlink": 0.45}


def measure(folder: Path) -> list[Row]:
    """Return the rows of the first dedupe, of what one new version costs, of bytes freed, and of memory."""
    require_peers()
    return [*_first(folder / "first"), *_one_new(folder / "one-new"), *_memory(folder / "memory")]


def _first(folder: Path) -> list[Row]:
    taken: dict[str, list[Measured]] = {name: [] for name in ("ours", *PEERS)}
    for number in range(_ROUNDS):
        for name, results in taken.items():
            versions = fresh_corpus(folder / f"{name}-{number}")
            command = dedupe_alone(versions, folder / "state") if name == "ours" else peer(name, versions)
            results.append(measured(command, versions))
            _say(f"first dedupe, {name}: {results[-1].seconds:.1f} s, {results[-1].freed / 1e6:.0f} MB freed")
    seconds = {name: statistics.median(one.seconds for one in results) for name, results in taken.items()}
    what = f"first dedupe of {SHAPE.versions} versions of {SHAPE.files} files"
    rows = [_times(f"{what} ÷ {name}", seconds["ours"], seconds[name], goal) for name, goal in _GOALS.items()]
    ours, theirs = taken["ours"][0].freed, taken["rdfind"][0].freed
    aside = _kept_single(folder / "rdfind-0")
    value = ours / (theirs - aside)
    what = f"bytes freed ÷ rdfind's, less the {aside / 1e6:.1f} MB it took of files that must stay single"
    rows.append(Row(what, f"{ours / 1e6:.0f} MB", f"{theirs / 1e6:.0f} MB", value, 0.99, at_least=True))
    return rows


def _kept_single(versions_dir: Path) -> int:
    """Return the bytes on the disk of the live version's files that must stay single and are shared."""
    fits = globs(Settings().keep_single).fullmatch
    root = versions_dir / SHAPE.names[-1]
    found = {}
    for at, _, names in os.walk(root):
        for name in names:
            path = os.path.join(at, name)
            info = os.lstat(path)
            if info.st_nlink > 1 and fits(os.path.relpath(path, root)):
                found[info.st_ino] = info.st_blocks * 512
    return sum(found.values())


def _one_new(folder: Path) -> list[Row]:
    linked = folder / "linked"
    make_corpus(linked, SHAPE, only=SHAPE.names[:-1], processes=os.cpu_count() or 1)
    _point(linked, -2)
    run(dedupe_alone(linked, folder / "state"))
    taken: dict[str, list[float]] = {name: [] for name in ("dedupe", "dedupe, not live", "rdfind", "birth")}
    for number in range(_ROUNDS):
        for name, results in taken.items():
            versions = folder / f"{name}-{number}"
            run(["cp", "-a", str(linked), str(versions)])
            make_corpus(versions, SHAPE, only=SHAPE.names[-1:])
            if name in ("dedupe, not live", "birth"):
                _point(versions, -2)
            results.append(_one_new_by(name, versions, folder / f"state {name}-{number}"))
            _say(f"one new version, {name}: {results[-1]:.2f} s")
    live, other, theirs, birth = (statistics.median(results) for results in taken.values())
    rest = f"{SHAPE.versions - 1} linked and 1 new"
    return [
        # Its inodes stay, as the live ones always do: what is equal to them in the others is linked anew.
        _times(f"dedupe, {rest} that is live ÷ rdfind", live, theirs, 0.4),
        _times(f"dedupe, {rest} that is not live ÷ rdfind", other, theirs, 0.4),
        _times(f"linking at publish ÷ rdfind over all, {rest}", birth, theirs, 0.2),
    ]


def _one_new_by(name: str, versions: Path, state: Path) -> float:
    if name == "birth":
        return _birth(versions)
    if name == "rdfind":
        return measured(peer(name, versions), versions).seconds
    # As on any site that was in use before: what the linked versions take is known.
    account(Context.for_reading(Settings(versions_dir=versions, state_dir=state)))
    return measured(dedupe_alone(versions, state), versions).seconds


def _birth(versions: Path) -> float:
    """Link the newest version to the live one and those before, in this process, as a deploy does."""
    disk_usage(versions)
    settle()
    began = time.perf_counter()
    with ExitStack() as stack:
        root = stack.enter_context(safefs.opened_root(versions))
        tree, *others = (stack.enter_context(safefs.opened(root, name)) for name in SHAPE.names[: -_OTHERS - 2 : -1])
        link_tree(tree, others, globs(Settings().keep_single))
        safefs.syncfs(root)
    return time.perf_counter() - began


def _point(versions: Path, number: int) -> None:
    link = versions / "current-version"
    link.unlink()
    link.symlink_to(SHAPE.names[number])


def _memory(folder: Path) -> list[Row]:
    """Compare proportional set sizes, sampled alike on both sides: command, runner and workers against rdfind."""
    config = folder / "govma.toml"
    versions = fresh_corpus(folder / "ours")
    config.write_text(f'versions_dir = "{versions}"\nstate_dir = "{folder / "state"}"\n')
    ours = peak_memory(console(config, "dedupe"), OURS)
    theirs = peak_memory(peer("rdfind", fresh_corpus(folder / "rdfind")), ("rdfind",))
    _say(f"memory: {ours:.0f} and {theirs:.0f} MiB")
    what = "peak memory of `dedupe`, command, runner and workers ÷ rdfind's"
    return [Row(what, f"{ours:.0f} MiB", f"{theirs:.0f} MiB", ours / theirs, 0.7)]


def _times(what: str, ours: float, theirs: float, goal: float) -> Row:
    return Row(what, f"{ours:.2f} s", f"{theirs:.2f} s", ours / theirs, goal)


def _say(text: str) -> None:
    print(f"    {text}", file=sys.stderr, flush=True)
