"""The events of a run as text: the lines that follow a run, and on a terminal a status line below them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from govma_console.formats import seconds
from govma_console.output import colour_wanted, hinted
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted
from govma_core.reporting import Reporter
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_RED, _YELLOW, _GREEN, _DIM, _BOLD, _PLAIN = (f"\x1b[{code}m" for code in (31, 33, 32, 2, 1, 0))
_COLOURS = {"stage": _BOLD, "good": _GREEN, "bad": _RED, "warning": _YELLOW, "error": _RED, "output": _DIM}


def style_of(event: Event) -> str:
    """Return how the lines of an event look: `stage`, `good`, `bad`, `warning`, or the level of a log line."""
    match event:
        case StageFinished():
            return {"ok": "good", "failed": "bad"}.get(event.outcome, "warning")
        case LogLine():
            return event.level
        case RunFinished():
            return "good" if event.is_success else "bad"
    return "stage"


def stage_result(event: StageFinished, duration: Callable[[float], str]) -> tuple[str, str]:
    """Return how a stage ended, and its remark as the rest of the line."""
    remark = f": {hinted(event.remark)}" if event.remark else ""
    return f"{event.stage} {tr(event.outcome)}, {duration(event.seconds)}", remark


def _lines(event: Event) -> list[tuple[str, str]]:
    """Return the lines of an event: each the part that has the event's colour, and the rest."""
    match event:
        case StageStarted():
            return [(f"== {event.stage}", "")]
        case StageFinished():
            result, remark = stage_result(event, seconds)
            return [(f"== {result}", remark)]
        case LogLine(_, level, text):
            label = f"{tr(level)}: " if level in ("warning", "error") else ""
            return [(f"   {label}{text if level == 'output' else hinted(text)}", "")]
        case RunFinished(_, result, code, message):
            # The reason of a failure has been a line of the log already; an interrupted run could log nothing.
            text = (
                message
                if event.is_success or result == "interrupted"
                else tr("The run ended: {result} (exit code {code}).", result=tr(result), code=code)
            )
            return [(clean_line(line), "") for line in hinted(text).split("\n")]
    return []


def plain_text(event: Event) -> str:
    """Return an event as lines without colour, each with its line end."""
    return "".join(f"{text}{rest}\n" for text, rest in _lines(event))


class Narrator:
    """Writes events to a stream as they come."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._has_colour = colour_wanted(stream)
        self._has_status_line = stream.isatty()
        self._stage: tuple[str, float] | None = None
        self._progress = ""
        self._status = ""

    def tell(self, event: Event) -> None:
        """Write one event."""
        match event:
            case StageStarted(at, stage):
                self._stage, self._progress = (stage, at), ""
            case StageFinished():
                self._stage = None
            case Progress(_, _, count, total, unit):
                self._progress = (
                    tr("{done} of {total} {unit}", done=count, total=total, unit=unit) if total else f"{count} {unit}"
                )
        colour = _COLOURS.get(style_of(event), "") if self._has_colour else ""
        for text, rest in _lines(event):
            line = f"{colour}{text}{_PLAIN}{rest}" if colour else text + rest
            self._write_line(line)

    def idle(self) -> None:
        """Bring the status line up to date; called a few times a second while nothing happens."""
        if self._has_status_line and self._stage:
            name, began = self._stage
            self._write_status(f"   … {name}, {seconds(max(0.0, time.time() - began))} {self._progress}")

    def say(self, text: str) -> None:
        """Write a line of our own."""
        for line in hinted(text).split("\n"):
            self._write_line(clean_line(line))

    def _write_line(self, text: str) -> None:
        self._write_status("")
        print(text, file=self._stream, flush=True)

    def _write_status(self, status: str) -> None:
        if self._has_status_line and status != self._status:
            self._stream.write(f"\r\x1b[K{status}")
            self._stream.flush()
            self._status = status


def narrating_reporter(stream: TextIO) -> Reporter:
    """Return a reporter for an operation of this process; what it reports is written to the stream."""
    return Reporter(Narrator(stream).tell)
