"""The log file as lines on demand."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from govma_console.tui.panes.log_file import BLOCK, LogFile, read_line
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted, to_json


def write(path: Path, events: list[Event]) -> None:
    with path.open("a") as file:
        file.writelines(to_json(event) + "\n" for event in events)


def numbered(first: int, behind: int) -> list[Event]:
    return [LogLine(1.0, "output", f"line {number}") for number in range(first, behind)]


def whole(file: LogFile) -> list[str]:
    while file.update():
        pass
    return [line.text for line in file.lines(0, file.count)]


@pytest.mark.parametrize("count", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK + 7])
def test_every_line_can_be_read_by_its_number(tmp_path: Path, count: int) -> None:
    path = tmp_path / "events.jsonl"
    write(path, numbered(0, count))
    file = LogFile(path)
    assert whole(file) == [f"line {number}" for number in range(count)]
    for number in {0, count // 2, max(0, count - 1)}:
        assert [line.text for line in file.lines(number, number + 2)] == [
            f"line {expected}" for expected in range(number, min(count, number + 2))
        ]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=8), st.lists(st.integers(1, 40), max_size=4))
def test_a_growing_file_has_the_lines_of_a_whole_one(
    tmp_path_factory: pytest.TempPathFactory, parts: list[int], cuts: list[int]
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    file = LogFile(path)
    total = 0
    for part in parts:
        write(path, [*numbered(total, total + part), Progress(1.0, "assets", part, 0, "files")])
        total += part
        assert whole(file) == [f"line {number}" for number in range(total)]
    raw = to_json(LogLine(1.0, "info", "the last one, in pieces")).encode() + b"\n"
    edges = [0, *sorted({min(cut, len(raw) - 1) for cut in cuts}), len(raw)]
    for start, behind in itertools.pairwise(edges):
        assert file.count == total
        with path.open("ab") as stream:
            stream.write(raw[start:behind])
        file.update()
    assert (file.count, file.lines(total, total + 1)[0].text) == (total + 1, "the last one, in pieces")


def test_events_arrive_in_order_and_are_lines_except_progress(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    marks: list[Event] = []
    events: list[Event] = [
        StageStarted(1.0, "assets"),
        Progress(2.0, "assets", 3, 9, "files"),
        StageFinished(3.0, "assets", "ok", 1.5, "18 files"),
        RunFinished(4.0, "failed", 1, "It did not work.\nMore."),
    ]
    write(path, events)
    file = LogFile(path, marks.append)
    assert whole(file) == [
        "── assets",
        "── assets ok, 1.5s: 18 files",
        "The run ended: failed (exit code 1). It did not work.",
    ]
    assert marks == events


def test_damaged_and_unknown_lines_are_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'\n{"event":"log","at":1,"level":"inf\n{"event":"of tomorrow"}\n\xff\xfe\n{"event":"log"}\n'
        + json.dumps({"event": "log", "at": "x", "level": 7, "text": None}, separators=(",", ":")).encode()
        + b"\n"
        + to_json(LogLine(1.0, "info", "whole")).encode()
        + b"\n"
    )
    texts = whole(LogFile(path))
    assert texts[-1] == "whole"
    assert texts.count("(a damaged line of the log)") == 2


@pytest.mark.parametrize("text", ["\x1b[2J\x1b[31mred", "a\rb", "\x9b2J", "bell\x07", "\u202eevil", "\x1b]0;title\x07"])
def test_control_sequences_of_the_file_are_removed(text: str) -> None:
    line = read_line(
        json.dumps({"event": "log", "at": 1.0, "level": "output", "text": text}).encode().replace(b": ", b":")
    )
    assert not any(
        ord(character) < 32 or 127 <= ord(character) < 160 or character == "\u202e" for character in line.text
    )


def test_scan_yields_every_line_once_in_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, numbered(0, 5 * BLOCK + 3))
    file = LogFile(path)
    whole(file)
    forward = [number for batch in file.scan(BLOCK + 5, blocks=2) for number, _ in batch]
    back = [number for batch in file.scan(BLOCK + 5, step=-1, blocks=2) for number, _ in batch]
    assert forward == list(range(BLOCK + 5, file.count))
    assert back == list(range(BLOCK + 5, -1, -1))


def test_an_unreadable_log_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "loop"
    path.symlink_to(path)
    file = LogFile(path)
    assert file.update() is False
    assert "cannot be read" in file.problem


def test_indexing_stops_after_its_time_and_goes_on_later(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    write(path, numbered(0, 20_000))
    file = LogFile(path)
    assert file.update(seconds=0.0) is True
    assert 0 < file.count < 20_000
    before = time.monotonic()
    while file.update(seconds=0.0):
        assert time.monotonic() - before < 60
    file.update()
    assert file.count == 20_000
