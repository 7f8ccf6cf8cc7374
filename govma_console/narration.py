"""A run told to a person while it goes: plain lines, and on a terminal a status line that stays the last one."""

from __future__ import annotations

import time
from typing import TextIO

from govma_console.formats import seconds
from govma_console.output import colour_wanted, hinted
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_RED, _YELLOW, _GREEN, _DIM, _BOLD, _PLAIN = (f"\x1b[{code}m" for code in (31, 33, 32, 2, 1, 0))

_OUTCOMES = {"ok": _GREEN, "failed": _RED}
_LEVELS = {"warning": _YELLOW, "error": _RED, "output": _DIM}


def told(event: Event) -> list[tuple[str, str, str]]:
    """Return the lines that tell an event: each a colour, the text in it, and what follows without."""
    match event:
        case StageStarted(_, stage):
            return [(_BOLD, f"== {stage}", "")]
        case StageFinished(_, stage, outcome, took, remark):
            said = f": {remark}" if remark else ""
            return [(_OUTCOMES.get(outcome, _YELLOW), f"== {stage} {tr(outcome)}, {seconds(took)}", said)]
        case LogLine(_, level, text):
            label = f"{tr(level)}: " if level in ("warning", "error") else ""
            return [(_LEVELS.get(level, ""), f"   {label}{text}", "")]
        case RunFinished(_, result, code, message):
            # Why it failed was said already, as an error; what was interrupted said nothing.
            text = (
                message
                if result in ("ok", "interrupted")
                else tr("The run ended: {result} (exit code {code}).", result=tr(result), code=code)
            )
            return [(_GREEN if result == "ok" else _RED, clean_line(line), "") for line in text.split("\n")]
    return []


def plain_text(event: Event) -> str:
    """Return an event as lines without colour, each with its line end."""
    return "".join(f"{text}{rest}\n" for _, text, rest in told(event))


class Narrator:
    """Writes events to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colour = colour_wanted(stream)
        self._live = stream.isatty()
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
            case Progress(_, _, done, total, unit):
                self._progress = (
                    tr("{done} of {total} {unit}", done=done, total=total, unit=unit) if total else f"{done} {unit}"
                )
        builders = isinstance(event, LogLine) and event.level == "output"
        for colour, text, rest in told(event):
            line = self._paint(colour, text) + rest
            self._line(line if builders else hinted(line))

    def idle(self) -> None:
        """Bring the status line up to date; called a few times a second while nothing happens."""
        if self._live and self._stage:
            name, began = self._stage
            self._show(f"   … {name}, {seconds(max(0.0, time.time() - began))} {self._progress}")

    def say(self, text: str) -> None:
        """Write a line of our own."""
        for line in hinted(text).split("\n"):
            self._line(clean_line(line))

    def _line(self, text: str) -> None:
        self._show("")
        print(text, file=self._stream, flush=True)

    def _show(self, status: str) -> None:
        if self._live and status != self._status:
            self._stream.write(f"\r\x1b[K{status}")
            self._stream.flush()
            self._status = status

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colour and colour else text
