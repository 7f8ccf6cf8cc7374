"""How reports come out: JSON or a table on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from govma_core.text import clean_line


def print_json(data: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print data as JSON."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, stretch: int) -> None:
    """Print rows under a header, columns aligned.

    On a terminal the column number `stretch` is cut so that a row fits; elsewhere nothing is cut.
    """
    rows = [[clean_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    if sys.stdout.isatty():
        import shutil

        room = shutil.get_terminal_size().columns - sum(widths) - 2 * (len(widths) - 1)
        widths[stretch] = max(min(widths[stretch], 8), widths[stretch] + min(0, room))
    for row in [header, *rows]:
        cells = [_cut(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip(), flush=True)


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Print a text of one or more lines; what came from disk or from others in it cannot control the terminal."""
    print("\n".join(clean_line(line) for line in text.split("\n")), file=stream or sys.stdout, flush=True)


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
