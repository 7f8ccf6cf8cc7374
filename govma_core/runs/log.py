"""The events of a run: `<run>/events.jsonl`, appended by its runner, followed by anybody by byte offset."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from govma_core.events import Event, LogLine, RunFinished, from_json, output_json, to_json
from govma_core.runs.store import RunStore
from govma_core.text.language import tr

_BLOCK = 1 << 16
_FLUSH_BYTES = 1 << 15


class EventLog:
    """Writes events, a line each; a program's output only at `flush()` or in blocks, everything else at once.

    `limit` bounds the bytes of program output that are kept: what is beyond is counted and said once. A disk without
    room stops the log, never the run: `broken` then holds the reason.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._left = limit
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
        if len(data) > self._left:
            kept = data.rfind(b"\n", 0, self._left) + 1
            self._omitted += data.count(b"\n", kept)
            data, self._left = data[:kept], kept
        self._left -= len(data)
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
        """Write what is left, and close."""
        self.flush()
        os.close(self._fd)


def read_events(path: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Yield each whole event from a byte offset to the present end, with the offset behind it; bounded memory."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    held = b""
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        while block := os.read(fd, _BLOCK):
            *lines, held = (held + block).split(b"\n")
            for line in lines:
                offset += len(line) + 1
                event = from_json(line)
                if event is not None:
                    yield event, offset
    finally:
        os.close(fd)


def follow(
    store: RunStore,
    run_id: str,
    *,
    skip: int = 0,
    poll: float = 0.05,
    idle: Callable[[], None] = lambda: None,
    gone: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Yield the events of a run until it ends, waiting for those to come; ends also when its runner is gone.

    A final RunFinished is made up for a run that did not write one (interrupted), so that callers always see one.
    `skip` leaves out that many events at the start; `idle` is called each `poll` seconds while nothing comes; `gone`
    tells a caller's own knowledge that the runner has ended, for when that could not even be written down.
    """
    path = store.path(run_id) / "events.jsonl"
    offset = 0
    while True:
        # Read after the look at the record: what it wrote before it ended is then seen for sure.
        ended = gone() or store.read(run_id).ended
        for event, behind in read_events(path, offset):
            offset = behind
            skip -= 1
            if skip < 0:
                yield event
            if isinstance(event, RunFinished):
                return
        if ended:
            record = store.read(run_id)
            yield RunFinished(
                record.finished or time.time(),
                record.state,
                1 if record.exit_code is None else record.exit_code,
                record.message,
            )
            return
        idle()
        time.sleep(poll)
