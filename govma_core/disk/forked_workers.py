"""Work cut into pieces and done by a few forked processes: each takes the next piece when it is done with one."""

from __future__ import annotations

import json
import os
import selectors
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from govma_core.errors import GovmaError, UnsafeTreeError
from govma_core.forked import Forked, write_all
from govma_core.language import tr

_NUMBER = struct.Struct("=I")
MOST_PIECES = 1000
"""Pieces whose numbers fit into a pipe of one page, which is all that some users get."""
_SECONDS = 0.2

Tell = Callable[[dict[str, Any]], None]
Work = Callable[[Iterator[str], Tell], dict[str, Any]]


def run_workers(
    pieces: Sequence[str],
    workers: int,
    work: Work,
    told: Callable[[int, dict[str, Any]], None],
    step: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """Run `work(pieces, tell)` in each of `workers` processes; give what each came to.

    `work` takes pieces from the iterator as long as there are any. What it tells now and then (it may as often as it
    likes) goes to `told` here, with the worker's number; that may raise, which ends the processes. `step` is called
    while nothing is told, and may raise, too. An OSError or UnsafeTreeError in a worker is raised here; GovmaError when
    one was killed.
    """
    if len(pieces) > MOST_PIECES:
        raise ValueError(tr("{count} pieces are more than a pipe holds", count=len(pieces)))
    # A read from a pipe is whole or not at all: whoever reads the next number has the piece.
    taking, giving = os.pipe()
    write_all(giving, b"".join(_NUMBER.pack(number) for number in range(len(pieces))))
    os.close(giving)
    children: list[Forked] = []
    try:
        for _ in range(workers):
            children.append(Forked(lambda answer: _work(answer, taking, pieces, work)))
        return _collect(children, told, step)
    finally:
        os.close(taking)
        for child in children:
            child.end()


def _work(answer: int, taking: int, pieces: Sequence[str], work: Work) -> None:
    last = 0.0

    def send(message: dict[str, Any]) -> None:
        write_all(answer, json.dumps(message).encode() + b"\n")

    def tell(message: dict[str, Any]) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            send({"told": message})

    def taken() -> Iterator[str]:
        while record := os.read(taking, _NUMBER.size):
            yield pieces[_NUMBER.unpack(record)[0]]

    try:
        send({"done": work(taken(), tell)})
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename is not None else None
        send({"system": [error.errno, error.strerror, name]})
    except UnsafeTreeError as error:
        send({"unsafe": str(error)})
    except Exception as error:  # a fault of this program: told as what it is, with the traceback where it belongs
        send({"fault": f"{type(error).__name__}: {error}"})
        raise


def _collect(
    children: Sequence[Forked], told: Callable[[int, dict[str, Any]], None], step: Callable[[], None]
) -> list[dict[str, Any]]:
    results: dict[int, dict[str, Any]] = {}
    held = [b""] * len(children)
    with selectors.DefaultSelector() as selector:
        for number, child in enumerate(children):
            selector.register(child.pipe, selectors.EVENT_READ, number)
        while selector.get_map():
            step()
            for key, _ in selector.select(_SECONDS):
                number = key.data
                block = os.read(key.fd, 1 << 16)
                if not block:
                    selector.unregister(key.fd)
                    continue
                *lines, held[number] = (held[number] + block).split(b"\n")
                for line in lines:
                    message = json.loads(line)
                    if "system" in message:
                        raise OSError(*message["system"])
                    if "unsafe" in message:
                        raise UnsafeTreeError(message["unsafe"])
                    if "fault" in message:
                        raise RuntimeError(message["fault"])
                    if "done" in message:
                        results[number] = message["done"]
                    else:
                        told(number, message["told"])
    if len(results) < len(children):
        raise GovmaError(
            tr("A process of the run was killed. Is there enough memory? Start it again: it does the rest.")
        )
    return [results[number] for number in range(len(children))]
