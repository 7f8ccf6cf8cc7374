"""The server's records on their way to the journal."""

from __future__ import annotations

import ctypes
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from govma_console.server import logging as server_logging
from tests.support.rights import as_root
from tests.support.waiting import PATIENCE

MANY = 300
_CLONE_NEWNET = 0x40000000


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


def receiver_of(path: Path, length: int) -> socket.socket:
    """Return a socket that holds so many datagrams; to be called in a thread, which gets a network of its own."""
    assert ctypes.CDLL(None).unshare(_CLONE_NEWNET) == 0
    Path("/proc/sys/net/unix/max_dgram_qlen").write_text(str(length))
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    receiver.settimeout(PATIENCE)
    return receiver


@as_root
@pytest.mark.root
@pytest.mark.parametrize("length", [10, 512])
def test_a_journal_that_is_stuck_keeps_nobody_waiting_and_is_told_what_it_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], length: int
) -> None:
    """Guards the server's answers, also where the journal's queue holds more than the kernel lets one socket send."""
    path = tmp_path / "socket"
    monkeypatch.setattr(server_logging, "_SOCKET", str(path))
    monkeypatch.setattr(server_logging, "_PATIENCE", PATIENCE)
    number = 2 * (server_logging._MOST_WAITING + length)
    with ThreadPoolExecutor(1) as worker:
        receiver = worker.submit(receiver_of, path, length).result()
    handler = server_logging.JournalHandler("test")

    def log(text: str) -> None:
        handler.emit(logging.LogRecord("test", logging.ERROR, "", 0, text, (), None))

    def take() -> list[str]:
        received: list[str] = []
        while received[-1:] != ["after"]:
            received.append(receiver.recv(1 << 16).decode().splitlines()[0].removeprefix("MESSAGE="))
        return received

    # Nobody receives anything until the last one is logged: this would not end if one of them were waited for.
    for each in range(number):
        log(str(each))
    with receiver, ThreadPoolExecutor(1) as worker:
        taking = worker.submit(take)
        handler.flush()
        log("after")
        *received, _ = taking.result()
        handler.close()
    following = 0
    for text in received:
        dropped = text.removeprefix("Records dropped, as the journal took none: ")
        assert text in (str(following), f"Records dropped, as the journal took none: {dropped}")
        following += 1 if text == dropped else int(dropped.rstrip("."))
    assert len(received) < following == number
    assert capsys.readouterr().err == ""


def test_what_the_journal_cannot_be_sent_goes_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_logging, "_SOCKET", str(tmp_path / "none"))
    monkeypatch.setattr(server_logging, "_PATIENCE", PATIENCE)
    handler = server_logging.JournalHandler("test")
    handler.emit(logging.LogRecord("test", logging.ERROR, "", 0, "a line", (), None))
    handler.close()
    assert capsys.readouterr().err == "<3>a line\n"
