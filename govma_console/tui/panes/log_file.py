"""A run's events file as lines on demand: the file is the store, memory does not grow with it.

Only the offset of every BLOCK-th line is kept; lines are read, parsed and cleaned when they are looked at.
"""

from __future__ import annotations

import os
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from govma_console.formats import clock, duration
from govma_console.narration import stage_result, style_of
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted, from_json
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

BLOCK = 64
"""Lines from one kept offset to the next."""

_CHUNK = 1 << 17
_CACHED = 48
"""Blocks of parsed lines that are kept."""

_SHOWN = frozenset((b"log", b"sta", b"run"))
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "output": "output"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: when, in what style (`stage`, `good`, `bad` or a level), and its clean text."""

    at: float
    style: str
    text: str

    def written(self, *, timestamps: bool) -> str:
        """Return the line as it is saved and copied."""
        return f"{clock(self.at)} {self.text}" if timestamps and self.at else self.text


class LogFile:
    """One events file. `mark` is told every event that is not a log line, in order, while the file is indexed."""

    def __init__(self, path: Path, mark: Callable[[Event], None] = lambda event: None) -> None:
        self.path = path
        self.count = 0
        self.problem = ""
        self._mark = mark
        self._fd = -1
        self._offset = 0
        self._held = b""
        self._starts = array("Q")
        self._blocks: OrderedDict[int, tuple[bool, list[Line]]] = OrderedDict()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def update(self, seconds: float = 0.008) -> bool:
        """Take up what was appended, for `seconds` at most; give whether there is more to take up."""
        if not self._opened():
            return False
        until = time.perf_counter() + seconds
        while chunk := os.pread(self._fd, _CHUNK, self._offset + len(self._held)):
            self._index(chunk)
            if time.perf_counter() >= until:
                return len(chunk) == _CHUNK
        return False

    def lines(self, first: int, behind: int) -> list[Line]:
        """Return the lines from `first` to the one before `behind`."""
        lines: list[Line] = []
        first, behind = max(0, first), min(behind, self.count)
        while first < behind:
            block, inside = divmod(first, BLOCK)
            part = self._block(block)[inside : inside + behind - first]
            if not part:
                break
            lines += part
            first += len(part)
        return lines

    def scan(self, first: int, *, step: int = 1, blocks: int = 32) -> Iterator[list[tuple[int, Line]]]:
        """Yield batches of numbered lines from `first` on, or back from it; uses a descriptor of its own (threads)."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            block, last = first // BLOCK, (self.count - 1) // BLOCK
            while 0 <= block <= last:
                low = block if step > 0 else max(0, block - blocks + 1)
                high = min(last, block + blocks - 1) if step > 0 else block
                numbered = list(enumerate(self._parse(fd, low, high), low * BLOCK))
                numbered = [(n, line) for n, line in numbered if (n >= first if step > 0 else n <= first)]
                yield numbered if step > 0 else numbered[::-1]
                block = high + 1 if step > 0 else low - 1
        finally:
            os.close(fd)

    def _opened(self) -> bool:
        if self._fd >= 0:
            return True
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self.problem = ""
        except FileNotFoundError:
            self.problem = ""
        except OSError as error:
            self.problem = tr(
                "The log cannot be read: {strerror}. Logs are for the user that deploys (root).",
                strerror=error.strerror,
            )
        return self._fd >= 0

    def _index(self, chunk: bytes) -> None:
        *lines, incomplete_line = (self._held + chunk).split(b"\n")
        offset, number, starts = self._offset, self.count, self._starts
        for line in lines:
            if line[10:13] in _SHOWN:
                if not number % BLOCK:
                    starts.append(offset)
                number += 1
                if line[10:13] != b"log":
                    self._tell(line)
            elif line[10:13] == b"pro":
                self._tell(line)
            offset += len(line) + 1
        # The block at the end was perhaps cached when it was shorter; lines() sees that by its flag.
        self._offset, self.count, self._held = offset, number, incomplete_line

    def _tell(self, line: bytes) -> None:
        event = from_json(line)
        if event is not None:
            self._mark(event)

    def _block(self, number: int) -> list[Line]:
        whole, lines = self._blocks.get(number, (False, []))
        if not whole and number * BLOCK + len(lines) < self.count:
            whole = (number + 1) * BLOCK <= self.count
            lines = self._parse(self._fd, number, number)
            self._blocks[number] = (whole, lines)
            if len(self._blocks) > _CACHED:
                self._blocks.popitem(last=False)
        if number in self._blocks:
            self._blocks.move_to_end(number)
        return lines

    def _parse(self, fd: int, low: int, high: int) -> list[Line]:
        start = self._starts[low]
        behind = self._starts[high + 1] if high + 1 < len(self._starts) else self._offset
        parts = []
        while start < behind and (part := os.pread(fd, behind - start, start)):
            parts.append(part)
            start += len(part)
        return [read_line(line) for line in b"".join(parts).split(b"\n") if line[10:13] in _SHOWN]


def read_line(raw: bytes) -> Line:
    """Return a line of the file as it is shown; whatever it holds, the text is harmless to a terminal."""
    event = from_json(raw)
    match event:
        case LogLine(at, level, text):
            return Line(_time(at), _LEVELS.get(level, "info"), clean_line(str(text)))
        case StageStarted(at, stage):
            text = f"── {stage}"
        case StageFinished(at):
            text = f"── {''.join(stage_result(event, _duration))}"
        case RunFinished(at, result, code, message):
            first = str(message).split("\n")[0]
            text = (
                first
                if result in ("ok", "interrupted")
                else tr(
                    "The run ended: {result} (exit code {code}). {first}", result=tr(result), code=code, first=first
                )
            )
        case Progress() | None:
            return Line(0.0, "warning", tr("(a damaged line of the log)"))
    return Line(_time(at), style_of(event), clean_line(text))


def _time(at: object) -> float:
    return float(at) if isinstance(at, int | float) and 0 <= at < 1e11 else 0.0


def _duration(value: object) -> str:
    return duration(float(value)) if isinstance(value, int | float) else "?"
