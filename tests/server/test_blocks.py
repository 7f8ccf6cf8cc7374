"""What followers get of a piece of an events file is what its events say, however it is made."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from govma_console.narration import plain_text
from govma_console.server.run_feed import Block
from govma_core.events import Event, LogLine, Progress, RunFinished, StageFinished, StageStarted, to_json

_TEXTS = st.text(max_size=20) | st.sampled_from(['"level":"output"', '{"event":"run-finished"}', "\\", "é", "\x1b", ""])
_TIMES = st.floats(0, 1e12)
_EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(LogLine, _TIMES, st.sampled_from(["info", "warning", "error", "output"]), _TEXTS),
    st.builds(StageStarted, _TIMES, _TEXTS),
    st.builds(StageFinished, _TIMES, _TEXTS, st.just("ok"), _TIMES, _TEXTS),
    st.builds(Progress, _TIMES, _TEXTS, st.integers(0, 9), st.integers(0, 9), _TEXTS),
)
_END = RunFinished(3.0, "ok", 0, "done")


def written(*events: Event) -> bytes:
    return "".join(f"{to_json(event)}\n" for event in events).encode()


@given(st.lists(_EVENTS))
def test_the_plain_log_is_what_the_narration_says(events: list[Event]) -> None:
    assert Block(written(*events), 0).text == "".join(map(plain_text, events)).encode()


@given(st.lists(_EVENTS))
def test_what_is_told_beside_the_output_is_every_other_event(events: list[Event]) -> None:
    others = [event for event in events if not (isinstance(event, LogLine) and event.level == "output")]
    assert Block(written(*events), 0).told == others


@given(st.lists(_EVENTS), st.booleans())
def test_the_end_is_found_when_it_is_there_and_no_text_passes_for_it(events: list[Event], ended: bool) -> None:
    block = Block(written(*events, *([_END] if ended else [])), 0)
    assert block.finished == (_END if ended else None)


def test_ids_of_server_sent_events_are_the_offsets_behind_them() -> None:
    first, second = StageStarted(1.0, "source"), LogLine(2.0, "output", "é")
    block = Block(written(first, second), 100)
    middle, end = 100 + len(written(first)), 100 + len(written(first, second))
    assert block.behind == end
    assert block.server_sent.decode() == (
        f"id: {middle}\nevent: stage-started\ndata: {to_json(first)}\n\n"
        f"id: {end}\nevent: log\ndata: {to_json(second)}\n\n"
    )


def test_damaged_lines_are_passed_over() -> None:
    damaged = b'{"event":"log","at":1.0,"level":"output","text":"a\x1bb"}\n{"event":"lo\nnonsense\n'
    block = Block(damaged + written(LogLine(1.0, "info", "kept")), 0)
    assert block.text == plain_text(LogLine(1.0, "info", "kept")).encode()
    assert not block.empty


def test_an_end_that_is_not_in_the_file_stands_where_reading_stopped() -> None:
    block = Block.of(_END, 77)
    assert (block.behind, block.finished, block.empty) == (77, _END, False)
    assert block.server_sent.startswith(b"id: 77\n")
