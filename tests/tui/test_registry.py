"""The registry of actions: complete, without two meanings for a key, and shown everywhere."""

from __future__ import annotations

from collections import Counter

import pytest

from govma_console.tui.actions import ACTIONS, Place, Situation, all_keys, for_footer, for_key
from govma_console.tui.main_screen import MainScreen
from govma_console.tui.site_state import EMPTY

PLACES: tuple[Place, ...] = ("", "table", "log")


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: str(action.id))
def test_every_action_can_be_carried_out_and_says_what_it_does(action: object) -> None:
    found = next(each for each in ACTIONS if each is action)
    assert callable(getattr(MainScreen, f"do_{found.id}"))
    assert found.help.endswith(".")
    assert found.label
    assert isinstance(found.reason(Situation(EMPTY, None, None)), str)


@pytest.mark.parametrize("place", PLACES)
def test_no_key_has_two_meanings_in_one_pane(place: Place) -> None:
    keys = Counter(key for action in ACTIONS if action.where in ("", place) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_a_key_does_what_the_pane_says() -> None:
    sort, save = for_key("s", "table"), for_key("s", "log")
    assert sort is not None
    assert save is not None
    assert (sort.id, save.id, for_key("s", "")) == ("sort", "save", None)
    assert set(all_keys()) == {key for action in ACTIONS for key in action.keys}


def test_the_operations_of_the_issue_are_in_the_footer() -> None:
    labels = {action.label for line in (1, 2) for action in for_footer(line, "table")}
    wanted = {"Deploy", "Rollback", "Promote", "Dedupe", "Prune", "Pin", "Cancel run", "Refresh", "Help"}
    assert wanted <= labels
