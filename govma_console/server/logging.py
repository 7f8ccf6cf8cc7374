"""The server's own log: to the journal with its fields (systemd "Native Journal Protocol"), else to standard error."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import Any

_SOCKET = "/run/systemd/journal/socket"
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
_LONGEST = 16 << 10
"""Bytes of a message, well below what a datagram holds."""
_PATIENCE = 0.5
"""Seconds that a record waits for the journal, which takes few at a time; not again while it does not answer."""


class JournalHandler(logging.Handler):
    """Sends records to the journal; `run` in their extra becomes the field RUN_ID."""

    def __init__(self, identifier: str) -> None:
        super().__init__()
        self._identifier = identifier
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.settimeout(_PATIENCE)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; one that cannot be sent goes to standard error, without its fields."""
        fields = {
            "MESSAGE": self.format(record),
            "PRIORITY": str(_PRIORITIES.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": self._identifier,
        }
        run = getattr(record, "run", "")
        if run:
            fields["RUN_ID"] = run
        try:
            self._socket.sendto(b"".join(_field(*field) for field in fields.items()), _SOCKET)
        except OSError:
            self._socket.settimeout(0)
            print(f"<{fields['PRIORITY']}>{fields['MESSAGE']}", file=sys.stderr)
        else:
            self._socket.settimeout(_PATIENCE)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()
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
