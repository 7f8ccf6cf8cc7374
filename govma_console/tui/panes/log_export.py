"""Lines of a log on their way out of the console: to a file, and to the terminal's clipboard."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from govma_console.tui.panes.log_file import LogFile
from govma_core.errors import RefusedError
from govma_core.text.language import counted, tr

_MOST_COPIED = 100_000
"""Bytes: terminals take a clipboard of some ten thousand, few take more than a million."""


def text_lines(file: LogFile, first: int, last: int, *, timestamps: bool) -> Iterator[str]:
    """Yield the lines from `first` to `last` as they are saved and copied."""
    for batch in file.scan(first):
        for number, line in batch:
            if number > last:
                return
            yield line.plain(timestamps=timestamps)


def default_directory() -> str:
    """Return the directory we were started in; the home when that was removed meanwhile."""
    try:
        return os.getcwd()
    except OSError:
        return "~"


def save(name: str, lines: Iterable[str]) -> str:
    """Write lines to a new file, and say so; RefusedError, a sentence, where that cannot be."""
    try:
        path = Path(name).expanduser()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        count = 0
        with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
            for line in lines:
                file.write(line + "\n")
                count += 1
    except FileExistsError:
        raise RefusedError("{name} is there already; nothing was written. Choose another name.", name=name) from None
    except OSError as error:
        raise RefusedError("{name} cannot be written: {strerror}.", name=name, strerror=error.strerror) from None
    except (RuntimeError, ValueError):
        raise RefusedError("{name!r} is not the name of a file.", name=name) from None
    return tr("{count} written to {path}.", count=counted(count, "line", "lines"), path=path)


def for_clipboard(lines: Iterable[str]) -> tuple[str, int]:
    """Return as many of the lines as a terminal may take, and how many those are."""
    copied_lines: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode("utf-8", "replace")) + 1
        if copied_lines and size > _MOST_COPIED:
            break
        copied_lines.append(line.encode("utf-8", "replace").decode())
    return "\n".join(copied_lines), len(copied_lines)
