"""Names swapped while each of our steps works, 10,000 times a step and more: nothing outside is reached.

What is swapped in is a link, a second name of somebody's file, a FIFO or another directory. The racer has the rights of
root: what it cannot do, nobody can. In the work dir it stands for processes of the build that hold directories open,
beside the versions for the web server. It rests now and then: a step that always fails proves nothing.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from govma_core.errors import GovmaError
from tests.faults.result import Result
from tests.support.race_steps import STEPS
from tests.support.race_world import NAMES, OLD, World
from tests.support.racer import Racer

_MOST = 400
"""Executions of a step in which one at least has to go well."""


def sweep(folder: Path, rounds: int = 10_000, least: int = 20) -> Result:
    """Run each step again and again, `least` times or more, until its racer has had `rounds` rounds."""
    folder.chmod(0o755)
    began = time.monotonic()
    world = World(folder)
    races = executed = 0
    well: dict[str, int] = {}
    try:
        for name in STEPS:
            done, times, well[name] = race(world, name, rounds, least)
            races, executed = races + done, executed + times
    finally:
        world.remove()
    for problem in world.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    fewest = min(well, key=lambda name: well[name])
    return Result(
        f"links, second names, FIFOs and directories swapped in while each of {len(STEPS)} steps works",
        f"{races} swaps, {executed} executions",
        f"{world.refused} times it ended with an error, {sum(well.values())} times well (fewest: {fewest}, "
        f"{well[fewest]}); {time.monotonic() - began:.0f} s",
        len(world.problems),
        min(races, *well.values()),
    )


def race(world: World, name: str, rounds: int, least: int) -> tuple[int, int, int]:
    """Race one step; give the rounds of the racer, how often the step was executed, and how often that went well."""
    step, place, more = STEPS[name]
    times = well = 0
    # Deepest first: what lies below a name that is away cannot be exchanged.
    names = [*more, *(f"{tree}/{inner}" for tree in place for inner in reversed(NAMES))]
    if any(tree.startswith("www_versions") for tree in place):
        names += [f"www_versions/{OLD}", "www_versions/current-version"]
    pairs = [(world.path(inner), world.bait(inner)) for inner in names]
    with Racer(pairs, None, linked=world.canary.plain) as racer:
        while racer.rounds < rounds or times < least or (well == 0 and times < _MOST):
            # Laid anew while nobody swaps: what does that here follows links.
            racer.pause()
            world.make(*map(world.path, place))
            racer.go_on()
            try:
                step(world)
                well += 1
            except (GovmaError, OSError):
                world.refused += 1
            except Exception as error:
                world.problems.append(f"{name}: a fault of ours, {error!r}")
            times += 1
            racer.pause()
            world.look(name)
            racer.go_on()
        done = racer.rounds
    world.problems += [f"{name}: changed {path}" for path in world.canary.changes()]
    return done, times, well
