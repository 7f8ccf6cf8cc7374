"""A piece of a run's events file, as lines of a log and as server-sent events; many followers share what was made."""

from __future__ import annotations

import re
from functools import cached_property

from govma_console.narration import plain_text
from govma_core.events import Event, LogLine, RunFinished, from_json, to_json

_IS_OUTPUT = b'"level":"output"'
"""What only lines of output hold: within a text the quotes would be escaped."""
_PLAIN_OUTPUT = re.compile(rb'\{"event":"log","at":[0-9.e+]+,"level":"output","text":"([^"\\\x00-\x1f]*)"\}\n')
"""Output without anything that JSON escapes, as most is."""
_BEFORE, _AFTER = plain_text(LogLine(0.0, "output", "\0")).encode().split(b"\0")


class Block:
    """Some events of a run, in order, as they are in the file from `offset` on; read as far as somebody asks."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._lines = data.splitlines(keepends=True)
        self._offset = offset
        self.behind = offset + len(data)

    @classmethod
    def of(cls, event: Event, behind: int) -> Block:
        """Return one event that is not in the file, as if it ended at this offset."""
        data = f"{to_json(event)}\n".encode("utf-8", "replace")
        return cls(data, behind - len(data))

    @property
    def empty(self) -> bool:
        """True when there was nothing more to read."""
        return not self._lines

    @cached_property
    def finished(self) -> RunFinished | None:
        """Return the end of the run when it is in here; nothing comes after it."""
        last = from_json(self._lines[-1]) if self._lines and _IS_OUTPUT not in self._lines[-1] else None
        return last if isinstance(last, RunFinished) else None

    @property
    def told(self) -> list[Event]:
        """Return the events that are not a program's output."""
        found = (from_json(line) for line in self._lines if _IS_OUTPUT not in line)
        return [event for event in found if event is not None]

    @cached_property
    def text(self) -> bytes:
        """Return the events as lines of the plain log, without the end of the run: that is told as an answer wants."""
        return b"".join(map(_plain, self._lines))

    @cached_property
    def server_sent(self) -> bytes:
        """Return the events in the format of the WHATWG HTML standard, "Server-sent events"; ids are offsets."""
        parts = []
        behind = self._offset
        for line in self._lines:
            behind += len(line)
            event = from_json(line)
            if event is not None:
                parts.append(f"id: {behind}\nevent: {event.kind}\ndata: {to_json(event)}\n\n")
        return "".join(parts).encode("utf-8", "replace")


def _plain(line: bytes) -> bytes:
    match = _PLAIN_OUTPUT.fullmatch(line)
    if match is not None:
        return _BEFORE + match[1] + _AFTER
    event = from_json(line)
    return b"" if event is None or isinstance(event, RunFinished) else plain_text(event).encode("utf-8", "replace")
