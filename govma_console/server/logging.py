"""The server's own log: to the journal with its fields (systemd "Native Journal Protocol"), else to standard error."""

from __future__ import annotations

import logging
import os
import socket
import sys
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from typing import Any

from govma_core.text.language import tr

_SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LONGEST = 16 << 10
"""Bytes of a message, well below what a datagram holds."""
_MOST_WAITING = 1000
"""Records that are kept for a journal that takes none; further ones are dropped."""
_PATIENCE = 0.5
"""Seconds that a program that ends gives the journal for what it has not taken yet."""


class JournalHandler(logging.Handler):
    """Sends records to the journal; `run` in their extra becomes the field RUN_ID.

    A thread of its own sends them: a journal that is stuck, which is as one that has not come to it yet, keeps nobody
    else waiting. How many were dropped meanwhile is told before the next one.
    """

    def __init__(self, identifier: str) -> None:
        super().__init__()
        self._identifier = identifier
        self._dropped = 0
        self._waiting: Queue[dict[str, str] | None] = Queue(_MOST_WAITING)
        Thread(target=self._send_all, name="journal", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have one record sent; one that cannot be sent goes to standard error, without its fields."""
        try:
            if self._dropped:
                sentence = tr("Records dropped, as the journal took none: {count}.", count=self._dropped)
                self._put(sentence, logging.WARNING)
                self._dropped = 0
            self._put(self.format(record), record.levelno, getattr(record, "run", ""))
        except Full:
            self._dropped += 1

    def _put(self, message: str, level: int, run: str = "") -> None:
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(_PRIORITIES.get(level, 6)),
            "SYSLOG_IDENTIFIER": self._identifier,
        }
        self._waiting.put_nowait(fields | {"RUN_ID": run} if run else fields)

    def _send_all(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as journal:
            while (fields := self._waiting.get()) is not None:
                try:
                    journal.sendto(b"".join(_field(*field) for field in fields.items()), _SOCKET)
                except OSError:
                    # Standard error may be a pipe of the same journal.
                    with suppress(OSError, ValueError):
                        print(f"<{fields['PRIORITY']}>{fields['MESSAGE']}", file=sys.stderr)
                self._waiting.task_done()

    def flush(self) -> None:
        """Wait until all is sent, _PATIENCE seconds at most."""
        with self._waiting.all_tasks_done:
            self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, _PATIENCE)

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self.flush()
        with suppress(Full):
            self._waiting.put_nowait(None)
        super().close()


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        run = getattr(record, "run", "")
        return f"{record.levelname.lower()}: {f'[{run}] ' if run else ''}{record.getMessage()}"


def start_logging() -> bool:
    """Send what this program logs where it is read; True for the journal, when that is where standard error goes."""
    handler: logging.Handler
    in_journal = os.environ.get("JOURNAL_STREAM") == _stream_of(sys.stderr) and os.path.exists(_SOCKET)
    if in_journal:
        handler = JournalHandler("govma-console")
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_Plain())
    logger = logging.getLogger("govma")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Our own front tells what uvicorn would.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").addHandler(logging.NullHandler())
    return in_journal


def _stream_of(stream: Any) -> str:  # noqa: ANN401 - any file
    """Name a stream as $JOURNAL_STREAM does (systemd.exec(5)): device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def _field(name: str, value: str) -> bytes:
    data = value.encode("utf-8", "replace")[:_LONGEST]
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"
