"""What untrusted programs print becomes harmless, bounded lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from govma_core.text.clean import MAX_LINE, LineSplitter, clean_line


def split(*chunks: bytes) -> list[str]:
    splitter = LineSplitter()
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + list(splitter.close())


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07after", "after"),
        ("\x1b]8;;file:///etc/passwd\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\tb", "a    b"),
        ("10 %\r50 %\r100 %", "100 %"),
        ("windows line\r", "windows line"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("bell\x07 null\x00", "bell null"),
        ("\x9b31mC1 control\x9b0m", "C1 control"),
        ("admin\u202egnp.exe", "admingnp.exe"),
        ("\x1bPq sixel \x1b\\text", "text"),
        ("cut short \x1b[", "cut short "),
    ],
)
def test_control_sequences_do_not_survive(raw: str, clean: str) -> None:
    assert clean_line(raw) == clean


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    cleaned = clean_line(text)
    assert not any(ord(char) < 32 or 0x7F <= ord(char) <= 0x9F for char in cleaned)


def test_lines_are_the_same_however_the_chunks_fall() -> None:
    whole = "first\nsecond é\n\nlast".encode()
    expected = ["first", "second é", "", "last"]
    for cut in range(len(whole) + 1):
        assert split(whole[:cut], whole[cut:]) == expected


_PIECES = [
    b"a",
    b"\n",
    b"\r",
    b"\t",
    b"\x1b[1m",
    b"\x7f",
    b"\xc3\xa9",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xff",
    b"y" * MAX_LINE,
]


@given(st.lists(st.sampled_from(_PIECES)).map(b"".join))
def test_a_block_of_lines_reads_as_the_same_bytes_that_come_in_small_pieces(data: bytes) -> None:
    assert split(data) == split(*(data[at : at + 1000] for at in range(0, len(data), 1000)))


def test_invalid_utf8_becomes_replacement_characters() -> None:
    assert split(b"caf\xe9 \xff\n") == ["caf\ufffd \ufffd"]


def test_a_line_without_end_is_bounded_and_what_is_missing_is_said() -> None:
    (line,) = split(*[b"x" * 65536] * 160, b"\n")
    assert line == "x" * MAX_LINE + f" … ({160 * 65536 - MAX_LINE} more bytes of this line are not kept)"


def test_an_endless_progress_line_keeps_its_last_state() -> None:
    chunks = [f"{n} of 100000 {'.' * 40}\r".encode() for n in range(2000)]
    assert split(*chunks, b"done\n")[-1].endswith("done")
