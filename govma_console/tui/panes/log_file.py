"""A run's events file as lines on demand: the file is the store, memory does not grow with it.

Only the offset of every BLOCK-th line is kept; lines are read, parsed and cleaned when they are looked at.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from govma_console.formats import clock, duration
from govma_console.narration import stage_result, style_of
from govma_console.output import hinted
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted, from_json
from govma_core.runs.log import Piece, read_piece
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

BLOCK = 64
"""Lines from one kept offset to the next."""

_CACHED_BLOCKS = 48
_SHOWN = frozenset((b"log", b"sta", b"run"))
"""How the kinds of the events begin that are lines of the log: all but progress."""
_LEVELS = {"info": "info", "warning": "warning", "error": "error", "output": "output"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a log: when, in what style (`stage`, `good`, `bad` or a level), and its clean text."""

    at: float
    style: str
    text: str

    def plain(self, *, timestamps: bool) -> str:
        """Return the line as it is saved and copied."""
        return f"{clock(self.at)} {self.text}" if timestamps and self.at else self.text


class LogFile:
    """One events file. `take` is called with every event that is not a log line, in order, as the file is indexed."""

    def __init__(self, path: Path, take: Callable[[Event], None] = lambda event: None) -> None:
        self.path = path
        self.count = 0
        """Lines of the log so far."""
        self.problem = ""
        """Why the file cannot be read, as a sentence; '' when it can."""
        self._take = take
        self._end = 0
        self._starts = array("Q")
        # The number of its lines is part of the key: the last block grows.
        self._block = lru_cache(_CACHED_BLOCKS)(lambda block, size: self._parse(block, block))

    def update(self, seconds: float = 0.008) -> bool:
        """Index what was appended, for `seconds` at most; return whether there may be more."""
        until = time.perf_counter() + seconds
        while (piece := self._read(self._end)).lines:
            self._index(piece)
            if time.perf_counter() >= until:
                return True
        return False

    def lines(self, first: int, end: int) -> list[Line]:
        """Return the lines from `first` to the one before `end`."""
        lines: list[Line] = []
        first, end = max(0, first), min(end, self.count)
        while first < end:
            block, inside = divmod(first, BLOCK)
            part = self._block(block, min(BLOCK, self.count - block * BLOCK))[inside : inside + end - first]
            if not part:
                break
            lines += part
            first += len(part)
        return lines

    def scan(self, first: int, *, step: int = 1, blocks: int = 32) -> Iterator[list[tuple[int, Line]]]:
        """Yield batches of numbered lines from `first` on, or back from it; for threads, it does not use the cache."""
        block, last = first // BLOCK, (self.count - 1) // BLOCK
        while 0 <= block <= last:
            low = block if step > 0 else max(0, block - blocks + 1)
            high = min(last, block + blocks - 1) if step > 0 else block
            numbered = list(enumerate(self._parse(low, high), low * BLOCK))
            numbered = [(n, line) for n, line in numbered if (n >= first if step > 0 else n <= first)]
            yield numbered if step > 0 else numbered[::-1]
            block = high + 1 if step > 0 else low - 1

    def _read(self, offset: int) -> Piece:
        try:
            piece = read_piece(self.path, offset)
        except OSError as error:
            self.problem = tr(
                "The log cannot be read: {strerror}. Logs are for the user that deploys (root).",
                strerror=error.strerror,
            )
            return Piece(b"", offset)
        self.problem = ""
        return piece

    def _index(self, piece: Piece) -> None:
        offset, number = self._end, self.count
        for line in piece.lines[:-1].split(b"\n"):
            kind = line[10:13]
            if kind in _SHOWN:
                if not number % BLOCK:
                    self._starts.append(offset)
                number += 1
            if kind != b"log" and (kind in _SHOWN or kind == b"pro"):
                event = from_json(line)
                if event is not None:
                    self._take(event)
            offset += len(line) + 1
        self._end, self.count = offset, number

    def _parse(self, first_block: int, last_block: int) -> list[Line]:
        offset = self._starts[first_block]
        end = self._starts[last_block + 1] if last_block + 1 < len(self._starts) else self._end
        lines: list[Line] = []
        while offset < end and (piece := self._read(offset)).lines:
            raw_lines = piece.lines[: end - offset].split(b"\n")
            lines += [read_line(line) for line in raw_lines if line[10:13] in _SHOWN]
            offset = piece.end
        return lines


def read_line(raw: bytes) -> Line:
    """Return a line of the file as it is shown; whatever it holds, the text is harmless to a terminal."""
    event = from_json(raw)
    match event:
        case LogLine(at, level, text):
            line = str(text) if level == "output" else hinted(str(text))
            return Line(_time(at), _LEVELS.get(level, "info"), clean_line(line))
        case StageStarted(at, stage):
            text = f"── {stage}"
        case StageFinished(at):
            text = f"── {''.join(stage_result(event, _duration))}"
        case RunFinished(at, result, code, message):
            first = hinted(str(message)).split("\n")[0]
            text = (
                first
                if event.is_success or result == "interrupted"
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
