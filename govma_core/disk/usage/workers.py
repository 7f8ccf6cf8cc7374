"""The work of a pass, done by this process and forked ones; each takes the next version when it is done with one."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import struct
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice

from govma_core.disk.usage.check import look_again
from govma_core.disk.usage.inodes import InodesDifferError
from govma_core.disk.usage.ledger import Found
from govma_core.disk.usage.pack import DAMAGED, Array, pack, unpack
from govma_core.disk.usage.part import Part, Sample, own_of, part_of
from govma_core.disk.usage.rows import ROW_COLUMNS, Rows
from govma_core.disk.usage.walk import Walker
from govma_core.forked import Forked

_NUMBER = struct.Struct("=I")
_MOST = 8_000
"""Tasks that the pipe they are taken from can hold."""
_WAIT = 0.1

REST = "."
"""The task of walking all that is no version."""


class Survey:
    """What a pass is to look at: `tasks` are names of versions and REST, `sealed` are looked at again if they can be.

    `bits` gives the bit of each version. `every`, `step`: see Walker; `step` is called in this process only.
    """

    def __init__(
        self,
        versions_fd: int,
        tasks: Sequence[str],
        sealed: Mapping[str, Part],
        bits: Mapping[str, int],
        *,
        every: bool,
        step: Callable[[], None],
    ) -> None:
        self._fd = versions_fd
        self._tasks = tasks
        self._sealed = sealed
        self._bits = bits
        self._every = every
        self._step = step

    def carry_out(self, workers: int) -> Found:
        """Look at everything, with so many processes, of which this is one; InodesDifferError as Walker tells it."""
        # A fork of a process with several threads can be stuck for ever on what another thread held.
        alone = workers < 2 or len(self._tasks) < 2 or threading.active_count() > 1
        found = self._look(self._tasks, self._step) if alone else self._together(workers)
        done = found.walked.keys() | found.same.keys() | found.gone | ({REST} if found.rest else set())
        left = [task for task in self._tasks if task not in done]
        if left:
            # What a process that was killed had taken.
            found.add(self._look(left, self._step))
        return found

    def _look(self, tasks: Iterable[str], step: Callable[[], None]) -> Found:
        walker = Walker(self._fd, step, every=self._every)
        found = Found(rows=Rows(walker.inodes.rows, walker.inodes.holders))
        for task in tasks:
            if task == REST:
                found.rest, found.beyond = walker.rest(frozenset(self._bits))
                continue
            if task in self._sealed:
                step()
                samples = look_again(self._fd, self._sealed[task])
                if samples is not None:
                    found.same[task] = samples
                    continue
            part = walker.version(task, self._bits[task])
            if part is None:
                found.gone.add(task)
            else:
                found.walked[task] = part
        return found

    def _together(self, workers: int) -> Found:
        """Let forked processes help."""
        taking, giving = os.pipe()
        children: list[Forked] = []
        try:
            os.write(giving, b"".join(map(_NUMBER.pack, range(min(len(self._tasks), _MOST)))))
            os.close(giving)
            for _ in range(min(workers, len(self._tasks)) - 1):
                children.append(Forked(lambda answer: self._work(answer, taking)))
            found = self._look(self._taken(taking), self._step)
            for answer in self._collect(children):
                with suppress(*DAMAGED):
                    found.add(unpack_found(answer))
            return found
        finally:
            os.close(taking)
            for child in children:
                child.end()

    def _taken(self, taking: int) -> Iterator[str]:
        """Take tasks as long as there are any."""
        while record := os.read(taking, _NUMBER.size):
            yield self._tasks[_NUMBER.unpack(record)[0]]

    def _work(self, answer: int, taking: int) -> None:
        """Be a forked process: take tasks, and give one answer."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        gc.disable()
        try:
            block = memoryview(pack_found(self._look(self._taken(taking), lambda: None)))
        except InodesDifferError:
            block = memoryview(pack({"differ": True}, []))
        while block:
            block = block[os.write(answer, block) :]

    def _collect(self, children: Sequence[Forked]) -> list[bytes]:
        """Read all answers to their ends."""
        blocks: dict[int, list[bytes]] = {child.pipe: [] for child in children}
        with selectors.DefaultSelector() as selector:
            for pipe in blocks:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map():
                self._step()
                for key, _ in selector.select(_WAIT):
                    block = os.read(key.fd, 1 << 20)
                    blocks[key.fd].append(block)
                    if not block:
                        selector.unregister(key.fd)
        return [b"".join(found) for found in blocks.values()]


def pack_found(found: Found) -> bytes:
    """Return what a process found as bytes for the pipe."""
    rows, arrays = found.rows.pack()
    parts = [*found.walked.values(), *([found.rest] if found.rest else [])]
    for part in parts:
        arrays += part.directory_arrays() + part.own_arrays()
    arrays += [array("Q", numbers) for numbers in found.beyond.values()]
    head = {
        "rows": rows,
        "parts": [part.head() for part in parts],
        "rest": found.rest is not None,
        "same": {name: [sample.as_list() for sample in samples] for name, samples in found.same.items()},
        "gone": list(found.gone),
        "beyond": list(found.beyond),
    }
    return pack(head, arrays)


def unpack_found(block: bytes) -> Found:
    """Return what pack_found() was given; InodesDifferError when that is what the process found."""
    head, arrays = unpack(block)
    if "differ" in head:
        raise InodesDifferError
    left = iter(arrays)

    def take(count: int) -> list[Array]:
        return list(islice(left, count))

    found = Found(rows=Rows.unpack(head["rows"], take(ROW_COLUMNS * len(head["rows"]["devices"]))))
    parts = []
    for part_head in head["parts"]:
        part = part_of(part_head, take(3))
        part.own = own_of(part_head, take(3 * len(part_head["devices"])))
        parts.append(part)
    if head["rest"]:
        found.rest = parts.pop()
    found.walked = {part.name: part for part in parts}
    found.same = {name: [Sample.of(values) for values in samples] for name, samples in head["same"].items()}
    found.gone = set(head["gone"])
    found.beyond = {device: take(1)[0].tolist() for device in head["beyond"]}
    return found
