"""What followers get of a piece of an events file is what its events say, however it is rendered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from govma_console.narration import plain_text
from govma_console.server.stream import render_server_sent, render_text
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted, to_json
from govma_core.runs.log import Piece

_TEXTS = st.text(max_size=20) | st.sampled_from(['"level":"output"', '{"event":"run-finished"}', "\\", "é", "\x1b", ""])
_TIMES = st.floats(0, 1e12)
_EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(LogLine, _TIMES, st.sampled_from(["info", "warning", "error", "output"]), _TEXTS),
    st.builds(StageStarted, _TIMES, _TEXTS),
    st.builds(StageFinished, _TIMES, _TEXTS, st.just("ok"), _TIMES, _TEXTS),
    st.builds(Progress, _TIMES, _TEXTS, st.integers(0, 9), st.integers(0, 9), _TEXTS),
)
_END = RunFinished(3.0, "ok", 0, "done")


def piece_of(*events: Event, start: int = 0) -> Piece:
    lines = "".join(f"{to_json(event)}\n" for event in events).encode()
    return Piece(lines, start + len(lines))


@given(st.lists(_EVENTS))
def test_the_plain_log_is_what_the_narration_says(events: list[Event]) -> None:
    assert render_text(piece_of(*events)) == "".join(map(plain_text, events)).encode()


@given(st.lists(_EVENTS))
def test_all_events_but_output_can_be_read_alone(events: list[Event]) -> None:
    others = [event for event in events if not (isinstance(event, LogLine) and event.level == "output")]
    assert [event for event, _ in piece_of(*events).events(output=False)] == others


@given(st.lists(_EVENTS), st.booleans())
def test_no_text_passes_for_the_end_of_a_run(events: list[Event], has_end: bool) -> None:
    piece = piece_of(*events, *([_END] if has_end else []))
    assert piece.finished == (_END if has_end else None)


def test_ids_of_server_sent_events_are_the_offsets_behind_them() -> None:
    first, second = StageStarted(1.0, "source"), LogLine(2.0, "output", "é")
    middle, end = piece_of(first, start=100).end, piece_of(first, second, start=100).end
    assert render_server_sent(piece_of(first, second, start=100)).decode() == (
        f"id: {middle}\nevent: stage-started\ndata: {to_json(first)}\n\n"
        f"id: {end}\nevent: log\ndata: {to_json(second)}\n\n"
    )


def test_damaged_lines_are_passed_over() -> None:
    damaged = b'{"event":"log","at":1.0,"level":"output","text":"a\x1bb"}\n{"event":"lo\nnonsense\n'
    whole = LogLine(1.0, "info", "whole")
    assert render_text(Piece(damaged + piece_of(whole).lines, 0)) == plain_text(whole).encode()
