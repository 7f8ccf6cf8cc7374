"""The server's records on their way to the journal."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path

import pytest

from govma_console.server import logging as server_logging
from tests.support.waiting import PATIENCE

MANY = 300


def test_a_slow_journal_gets_every_record_with_its_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guards bursts: the kernel holds a few datagrams only, and a record on standard error has no RUN_ID."""
    monkeypatch.setattr(server_logging, "_SOCKET", str(tmp_path / "socket"))
    received: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))

        def take() -> None:
            while len(received) < MANY:
                received.append(receiver.recv(1 << 16))
                if not len(received) % 30:
                    time.sleep(0.01)

        reader = threading.Thread(target=take)
        reader.start()
        handler = server_logging.JournalHandler("test")
        for number in range(MANY):
            record = logging.LogRecord("test", logging.WARNING, "", 0, "line %d", (number,), None)
            record.run = "the-run"
            handler.emit(record)
        reader.join(PATIENCE)
        handler.close()
    assert received == [
        f"MESSAGE=line {number}\nPRIORITY=4\nSYSLOG_IDENTIFIER=test\nRUN_ID=the-run\n".encode()
        for number in range(MANY)
    ]
    assert capsys.readouterr().err == ""


def test_a_journal_that_does_not_answer_holds_the_server_up_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_logging, "_SOCKET", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        handler = server_logging.JournalHandler("test")
        began = time.monotonic()
        for number in range(MANY):
            handler.emit(logging.LogRecord("test", logging.ERROR, "", 0, "line %d", (number,), None))
        took = time.monotonic() - began
        handler.close()
    assert took < 3
    assert capsys.readouterr().err.splitlines()[-1] == f"<3>line {MANY - 1}"
