"""Writers at work in several versions while those are deduped: they set files equal again, and write them in place.

Each owns other paths, for a file that is linked changes in all versions that share it when it is written in place.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from govma_core.context import Context
from govma_core.disk import dedupe
from govma_core.process.workers import Forked
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from tests.faults.result import Result
from tests.support.corpus import Shape
from tests.support.deduping import small_corpus

_SECONDS = 60.0
_WRITERS = 3
_LARGEST = 100_000
_SHAPE = Shape(versions=5, files=200, directories=30, size=4_000_000)


def sweep(folder: Path) -> Result:
    """Write as fast as it goes; what each wrote is known without looking at the disk."""
    versions = small_corpus(folder, _SHAPE)
    stop = folder / "stop"
    common = _common(versions)
    paths = sorted(common)
    roots = [versions / name for name in _SHAPE.names[:: len(_SHAPE.names) // 2]]
    runs = linked = left = 0
    with ExitStack() as stack:
        writers = []
        for number, root in enumerate(roots):
            own = {path: common[path] for path in paths[number::_WRITERS]}
            work = partial(_write, random.Random(number), root, versions / _SHAPE.names[1], own, stop)
            writers.append(Forked(work))
            stack.callback(writers[-1].end)
        settings = Settings(versions_dir=versions, state_dir=folder / "state")
        settings.state_dir.mkdir()
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            context = Context(settings, Reporter(lambda event: None), "sweep", "sweep", "test", time.time())
            done = dedupe.run(context).details
            runs += 1
            linked += done["linked"]
            left += sum(found["count"] for found in done["left"].values())
        stop.touch()
        counts = [json.loads(writer.read_all()) for writer in writers]
    return Result(
        f"dedupe while {_WRITERS} processes write in as many versions",
        f"{runs} runs, {sum(writes for writes, _ in counts)} writes",
        f"{linked} files linked, {left} left alone",
        sum(lost for _, lost in counts),
        linked,
    )


def _common(versions: Path) -> dict[str, bytes]:
    """Return the content of the oldest version's files that every version has, by relative path; all are set to it."""
    oldest = versions / _SHAPE.names[0]
    found = {}
    for at, _, names in os.walk(oldest):
        for name in names:
            path = os.path.relpath(os.path.join(at, name), oldest)
            if all((versions / version / path).is_file() for version in _SHAPE.names):
                found[path] = (oldest / path).read_bytes()
                for version in _SHAPE.names[1:]:
                    (versions / version / path).write_bytes(found[path])
    return found


def _write(rng: random.Random, root: Path, twin: Path, expected: dict[str, bytes], stop: Path, answer: int) -> None:
    """Write until `stop` is there, mostly what `twin` has; answer how often, and how many writes were lost."""
    paths = list(expected)
    lost = 0
    ways: tuple[Callable[[Path, bytes, bytes], bytes], ...] = (_in_place, _truncating, _appending, _renaming, _renaming)
    count = 0
    while not stop.exists():
        count += 1
        path = rng.choice(paths)
        # Looked at before each write: a loss is hidden by the next one.
        found = (root / path).read_bytes()
        if found != expected[path]:
            lost += 1
            expected[path] = found
        text = (twin / path).read_bytes() if rng.random() < 0.8 else f"{count} ".encode() * rng.randrange(1, 400)
        way = _truncating if len(expected[path]) > _LARGEST else rng.choice(ways)
        expected[path] = way(root / path, expected[path], text)
    lost += sum((root / path).read_bytes() != content for path, content in expected.items())
    os.write(answer, json.dumps([count, lost]).encode())


def _in_place(path: Path, before: bytes, text: bytes) -> bytes:
    with path.open("r+b") as file:
        file.write(text)
    return text + before[len(text) :]


def _truncating(path: Path, before: bytes, text: bytes) -> bytes:
    path.write_bytes(text)
    return text


def _appending(path: Path, before: bytes, text: bytes) -> bytes:
    with path.open("ab") as file:
        file.write(text)
    return before + text


def _renaming(path: Path, before: bytes, text: bytes) -> bytes:
    staged = path.with_name(f"{path.name}~")
    info = path.stat()
    staged.write_bytes(text)
    staged.chmod(info.st_mode)
    os.chown(staged, info.st_uid, info.st_gid)
    staged.rename(path)
    return text
