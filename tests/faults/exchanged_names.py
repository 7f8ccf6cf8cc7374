"""The CMS (uid 33) exchanges every hidden name among the versions the moment it appears: nothing outside is reached.

What root stages there is taken away and replaced: a link by a second name of a file of root's, a directory by one of
the CMS's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from govma_core.errors import GovmaError
from tests.faults.result import Result
from tests.support.race_steps import STEPS
from tests.support.race_world import WEB, World

_STEPS = {"publish": 1, "thaw": 1, "switch": 8, "dedupe": 1}
"""Steps, each with how many times more it is executed: a link is there for a few microseconds only."""
_EXCHANGER = """
import ctypes, os, select, struct, sys
place, bait = sys.argv[1:]
os.setgroups([]); os.setgid(33); os.setuid(33)
os.chdir(place)
done, number = 0, 0
def prepare():
    global number
    number += 1
    os.link(bait, f'file-{number}')
    os.mkdir(f'folder-{number}', 0o700)
libc = ctypes.CDLL(None)
watch = libc.inotify_init()
libc.inotify_add_watch(watch, b'.', 0x100)
prepare()
print('ready', flush=True)
# No signal tells the end: it could come just before a read that nothing ends.
while sys.stdin not in select.select([watch, sys.stdin], [], [])[0]:
    data = os.read(watch, 65536)
    while data:
        mask, size = struct.unpack('iIII', data[:16])[1::2]
        name, data = data[16:16 + size].rstrip(b'\\0').decode(), data[16 + size:]
        if not name.startswith('.govma-'):
            continue
        try:
            # What is prepared takes but one call. A directory is of use when it is taken for the one that was made.
            if mask & 0x40000000:
                os.rename(name, f'taken-{number}')
                os.rename(f'folder-{number}', name)
            else:
                os.rename(f'file-{number}', name)
            done += 1
            prepare()
        except OSError:
            pass
print(done, flush=True)
"""


def sweep(folder: Path, times: int = 300) -> Result:
    """Execute each step `times` times beside the exchanger."""
    folder.chmod(0o755)
    began = time.monotonic()
    world = World(folder, private=True)
    exchanged = 0
    executed = 0
    for name, more in _STEPS.items():
        for _ in range(max(1, times // 25) * more):
            world.make()
            os.chown(world.versions, *WEB)
            with _exchanger(world) as counts:
                for _ in range(25):
                    _once(world, name)
                    executed += 1
            exchanged += sum(counts)
            # Taken away by the exchanger: with what is in it the next world would be another one.
            world.problems += [f"{name}: changed {path}" for path in world.canary.changes()]
            world.look(name)
    for problem in world.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        f"names that {len(_STEPS)} steps stage among the versions, exchanged by the web server's user",
        f"{exchanged} exchanged in {executed} executions",
        f"{world.refused} times it ended with an error; {time.monotonic() - began:.0f} s",
        len(world.problems),
        exchanged,
    )


def _once(world: World, name: str) -> None:
    try:
        STEPS[name][0](world)
    except (GovmaError, OSError):
        world.refused += 1
    except Exception as error:
        world.problems.append(f"{name}: a fault of ours, {error!r}")


@contextmanager
def _exchanger(world: World) -> Iterator[list[int]]:
    counts: list[int] = []
    line = [sys.executable, "-c", _EXCHANGER, str(world.versions), str(world.canary.root / "open")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield counts
        finally:
            process.stdin.close()
            counts.append(int(process.stdout.readline()))
