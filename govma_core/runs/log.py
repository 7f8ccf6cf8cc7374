"""The events of a run: `<run>/events.jsonl`, appended by its runner, read and followed by byte offset."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from govma_core.events import Event, LogLine, RunFinished, from_json, output_json, to_json
from govma_core.runs.store import RunStore
from govma_core.text.language import tr

EVENTS = "events.jsonl"
_FLUSH_BYTES = 1 << 15
_PIECE = 1 << 15
_FINISHED = b'{"event":"run-finished"'
_OUTPUT = b'"level":"output"'
"""What only lines of output hold: within a text the quotes would be escaped."""
_LAST_EVENT_SECONDS = 2.0
"""Seconds that a runner whose record has ended gets to write its last event, while its process lives."""


class EventLog:
    """Writes events, a line each; a program's output only at `flush()` or in blocks, everything else at once.

    `limit` bounds the bytes of program output that are kept: what is beyond is counted and said once. A disk without
    room stops the log, never the run: `broken` then holds the reason.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._room = limit
        self._buffer = bytearray()
        self._omitted = 0
        self.broken: OSError | None = None

    def write(self, event: Event) -> None:
        """Append an event."""
        if isinstance(event, LogLine) and event.level == "output":
            self.write_output(event.at, [event.text])
            return
        if self._omitted:
            note = tr(
                "{omitted} more lines of output were not kept: the log is at its limit (log_limit).",
                omitted=self._omitted,
            )
            self._omitted = 0
            self._buffer += (to_json(LogLine(time.time(), "warning", note)) + "\n").encode()
        self._buffer += (to_json(event) + "\n").encode("utf-8", "replace")
        self.flush()

    def write_output(self, at: float, lines: Sequence[str]) -> None:
        """Append lines of a program's output."""
        data = output_json(at, lines).encode("utf-8", "replace")
        if len(data) > self._room:
            fitting = data.rfind(b"\n", 0, self._room) + 1
            self._omitted += data.count(b"\n", fitting)
            data, self._room = data[:fitting], fitting
        self._room -= len(data)
        self._buffer += data
        if len(self._buffer) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the kernel."""
        if self.broken is not None and self._buffer:
            # What was written last may be half a line; the next one must not be lost with it.
            self._buffer[:0] = b"\n"
        try:
            while self._buffer:
                del self._buffer[: os.write(self._fd, self._buffer)]
            self.broken = None
        except OSError as error:
            self.broken = error
            self._buffer.clear()

    def close(self) -> None:
        """Write what the buffer holds, and close."""
        self.flush()
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of an events file, in order; `end` is the byte offset behind the last of them."""

    lines: bytes
    end: int

    def events(self, *, output: bool = True) -> Iterator[tuple[Event, int]]:
        """Yield each event with the offset behind it; damaged lines and unknown kinds are left out.

        With `output` False a program's output is left out as well, which costs next to nothing.
        """
        offset = self.end - len(self.lines)
        for line in self.lines.splitlines(keepends=True):
            offset += len(line)
            event = from_json(line) if output or _OUTPUT not in line else None
            if event is not None:
                yield event, offset

    @property
    def finished(self) -> RunFinished | None:
        """The end of the run, when this piece has it: nothing comes after."""
        line = self.lines[self.lines.rfind(b"\n", 0, -1) + 1 :]
        event = from_json(line) if line.startswith(_FINISHED) else None
        return event if isinstance(event, RunFinished) else None


def read_piece(path: Path, offset: int) -> Piece:
    """Read whole lines from a byte offset on, 32 KiB at most unless one line is longer; none at the present end."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return Piece(b"", offset)
    try:
        data = block = os.pread(fd, _PIECE, offset)
        while block and b"\n" not in block:
            block = os.pread(fd, _PIECE, offset + len(data))
            data += block
    finally:
        os.close(fd)
    lines = data[: data.rfind(b"\n") + 1]
    return Piece(lines, offset + len(lines))


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield each event from a byte offset to the present end, with the offset behind it; memory stays bounded."""
    while (piece := read_piece(path, offset)).lines:
        yield from piece.events()
        offset = piece.end


class LogFollower:
    """Reads a run's events from a byte offset on, piece by piece as they are appended, up to the run's end.

    `is_gone` is what the caller knows of the runner's process, for when its end could not even be written down.
    """

    def __init__(
        self, store: RunStore, run_id: str, offset: int = 0, *, is_gone: Callable[[], bool] = lambda: False
    ) -> None:
        self.offset = offset
        self.has_ended = False
        """Whether the run had ended when read_end() looked at its record."""
        self._store = store
        self._run_id = run_id
        self._is_gone = is_gone
        self._path = store.path(run_id) / EVENTS
        self._patience = 0.0

    def read(self) -> Piece | None:
        """Read the next lines; None while there are no more."""
        piece = read_piece(self._path, self.offset)
        self.offset = piece.end
        return piece if piece.lines else None

    def read_end(self) -> Piece | None:
        """Return the rest of a run whose record has ended; None while it has not.

        A RunFinished is made up for a run that did not write one (interrupted), so that followers always see one.
        UsageError when the record was removed.
        """
        is_gone = self._is_gone()
        record = self._store.read(self._run_id)
        self.has_ended = is_gone or record.ended
        # What the runner wrote before the record is there by now.
        piece = self.read()
        if piece is not None or not self.has_ended:
            return piece
        # The record is written before the last event, which followers must not get twice.
        self._patience = self._patience or time.monotonic() + _LAST_EVENT_SECONDS
        if not is_gone and record.process.alive() and time.monotonic() < self._patience:
            return None
        code = 1 if record.exit_code is None else record.exit_code
        end = RunFinished(record.finished or time.time(), record.state, code, record.message)
        return Piece(f"{to_json(end)}\n".encode("utf-8", "replace"), self.offset)


def follow(
    store: RunStore,
    run_id: str,
    offset: int = 0,
    *,
    poll: float = 0.05,
    idle: Callable[[], None] = lambda: None,
    is_gone: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Event, int]]:
    """Yield a run's events with the offset behind each, from a byte offset on, waiting for more until the run ends.

    `idle` is called each `poll` seconds while nothing comes; `is_gone` is that of a LogFollower. The last event is
    always a RunFinished.
    """
    follower = LogFollower(store, run_id, offset, is_gone=is_gone)
    while True:
        piece = follower.read() or follower.read_end()
        if piece is None:
            idle()
            time.sleep(poll)
            continue
        for event, end in piece.events():
            yield event, end
            if isinstance(event, RunFinished):
                return
