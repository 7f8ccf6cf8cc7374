"""Bytes that untrusted programs print, made safe for a log file and a terminal; and numbers of bytes in words.

Control sequences are removed, a carriage return keeps only what was printed last (progress bars), invalid UTF-8
becomes U+FFFD, and a line has a bounded length whatever was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from govma_core.text.language import decimal, tr

MAX_LINE = 16 * 1024
"""Bytes of one line that are kept; the rest is counted and named."""

# ECMA-48: CSI, then OSC/DCS/SOS/PM/APC strings up to BEL or ST (or unterminated), then two-byte escapes.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 and C1 controls, and the bidirectional overrides that could make a line read as something else.
_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SUSPECT = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean_line(text: str) -> str:
    """Return the text as one harmless line: no control sequence, the last state of a progress line, tabs as spaces."""
    if not _SUSPECT.search(text):
        return text
    text = text.rstrip("\r")
    text = _SEQUENCES.sub("", text.rpartition("\r")[2] if "\r" in text else text)
    return _CONTROLS.sub("", text.replace("\t", "    "))


def clean_all(value: Any) -> Any:  # noqa: ANN401
    """Return what JSON can hold with each text in it as clean_line makes it."""
    match value:
        case str():
            return clean_line(value)
        case dict():
            return {key: clean_all(inner) for key, inner in value.items()}
        case list() | tuple():
            return [clean_all(inner) for inner in value]
    return value


def bytes_text(count: int) -> str:
    """Return a number of bytes as people read it, in powers of 1000: `512 B`, `12.3 MB`."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if abs(amount) < 999.95:
            break
        amount, unit = amount / 1000, larger
    return f"{count} B" if unit == "B" else decimal(f"{amount:.1f} {unit}")


def clean_lines(data: bytes) -> list[str]:
    """Return a whole output as clean lines."""
    splitter = LineSplitter()
    return [*splitter.feed(data), *splitter.close()]


class LineSplitter:
    """Cuts a stream of byte chunks into clean lines; holds at most MAX_LINE bytes and the chunk at hand."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._dropped = 0

    def feed(self, chunk: bytes) -> list[str]:
        """Take the next chunk, give the lines that it completes."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for part in ended:
            self._hold(part)
            lines.append(self._take())
        self._hold(rest)
        return lines

    def close(self) -> Iterator[str]:
        """Yield the last line when it had no line end."""
        if self._held or self._dropped:
            yield self._take()

    def _hold(self, part: bytes) -> None:
        self._held += part
        if len(self._held) <= MAX_LINE:
            return
        # A progress bar redraws itself with carriage returns and may never end its line: only its last state counts.
        last = self._held.rstrip(b"\r").rfind(b"\r")
        if last >= 0:
            del self._held[: last + 1]
            self._dropped = 0
        self._dropped += max(0, len(self._held) - MAX_LINE)
        del self._held[MAX_LINE:]

    def _take(self) -> str:
        line = clean_line(self._held.decode("utf-8", "replace"))
        if self._dropped:
            line += tr(" … ({dropped} more bytes of this line are not kept)", dropped=self._dropped)
        self._held.clear()
        self._dropped = 0
        return line
