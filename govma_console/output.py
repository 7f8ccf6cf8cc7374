"""What commands print: texts, tables and JSON, with advice as it is typed for this settings file."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from govma_core.text.clean import clean_line
from govma_core.text.language import finish_with

_advice: re.Pattern[str] | None = None
_typed_command = ""
"""A command as it is typed for the settings file in use; '' where that is the usual one."""
_LEAST_COLUMNS = 12
"""Characters of a column that is cut that stay at least."""


class _Pipe(io.FileIO):
    """A pipe whose reader may go away: what is written then is lost, and no error."""

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - whatever is a buffer
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)


def outlive_readers() -> None:
    """Have the command go on when the reader of its output goes away (`| head`), for its exit code's sake."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            mode = os.fstat(stream.fileno()).st_mode
        except (OSError, ValueError):
            continue
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            stream.flush()
            pipe = io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False))
            is_lines = name == "stderr"
            setattr(sys, name, io.TextIOWrapper(pipe, stream.encoding, stream.errors, line_buffering=is_lines))


def print_json(data: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print data as JSON; dataclasses in it become objects."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2, default=dataclasses.asdict)
    sys.stdout.write("\n")


def print_table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Sequence[int],
    drop: Sequence[int] = (),
    right: Sequence[int] = (),
) -> None:
    """Print rows under a header, columns aligned, those in `right` to the right.

    On a terminal that is too narrow the columns `drop` are left out one after the other, then the columns `cut` are
    cut. Elsewhere everything is printed whole.
    """
    lines = [[clean_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    if sys.stdout.isatty():
        import shutil

        _fit(widths, shutil.get_terminal_size().columns, cut, drop)
    for line in lines:
        cells = [
            _cut(cell, width).rjust(width) if column in right else _cut(cell, width).ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            if width >= 0
        ]
        print("  ".join(cells).rstrip(), flush=True)


def _fit(widths: list[int], columns: int, cut: Sequence[int], drop: Sequence[int]) -> None:
    """Make the columns fit into the terminal; the width of a column that is left out becomes -1."""

    def excess() -> int:
        present = [width for width in widths if width >= 0]
        return sum(present) + 2 * (len(present) - 1) - columns

    def cuttable() -> int:
        return sum(max(0, widths[column] - _LEAST_COLUMNS) for column in cut)

    for column in drop:
        if excess() > cuttable():
            widths[column] = -1
    for column in cut:
        widths[column] -= min(max(0, excess()), max(0, widths[column] - _LEAST_COLUMNS))


def hint_with(config: Path | None, commands: Iterable[str]) -> None:
    """Have the commands in all texts name this settings file, too: without it they would act on another site."""
    global _advice
    _advice = re.compile(rf"\bgovma-console(?=`| (?:--(?!config )|(?:{'|'.join(commands)})\b))")
    hint_file(config)
    finish_with(hinted)


def hint_file(config: Path | None) -> None:
    """Change the settings file that the commands in texts name; None: they name none."""
    global _typed_command
    _typed_command = "" if config is None else f"govma-console --config {shlex.quote(str(config))}"


def hinted(text: str) -> str:
    """Return a text with the commands in it as they are to be typed for this settings file."""
    return _advice.sub(lambda match: _typed_command, text) if _advice and _typed_command else text


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Print a text of one or more lines; what came from disk or from others in it cannot control the terminal."""
    print("\n".join(clean_line(line) for line in hinted(text).split("\n")), file=stream or sys.stdout, flush=True)


def warn(text: str) -> None:
    """Print a text on standard error."""
    say(text, sys.stderr)


def _cut(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    mark = "…" if (sys.stdout.encoding or "").lower().startswith("utf") else "~"
    return text[: width - 1] + mark


def colour_wanted(stream: Any) -> bool:  # noqa: ANN401
    """Tell whether a stream is a terminal on which colour is welcome."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
