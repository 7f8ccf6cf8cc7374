"""The registry of actions: complete, without two meanings for a key, and shown everywhere."""

from __future__ import annotations

from collections import Counter

import pytest

from govma_console.tui.actions import ACTIONS, Action, Place, all_keys, for_footer, for_key
from govma_console.tui.availability import Situation
from govma_console.tui.main_screen import MainScreen
from govma_console.tui.main_view import PANES
from govma_console.tui.panes.log import LogPane
from govma_console.tui.panes.versions import VersionTable
from govma_console.tui.site_state import EMPTY

PLACES: tuple[Place, ...] = ("", "table", "log")


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: str(action.id))
def test_every_action_has_one_method_and_a_help_text(action: Action) -> None:
    owners = {MainScreen, {"log": LogPane, "table": VersionTable}.get(action.where, MainScreen)}
    assert sum(callable(getattr(owner, f"action_{action.id}", None)) for owner in owners) == (
        action.starts is None and action.id not in PANES
    )
    assert action.help.endswith(".")
    assert action.label
    assert isinstance(action.reason(Situation(EMPTY, None, None)), str)


@pytest.mark.parametrize("place", PLACES)
def test_no_key_has_two_meanings_in_one_pane(place: Place) -> None:
    keys = Counter(key for action in ACTIONS if action.where in ("", place) for key in action.keys)
    assert [key for key, count in keys.items() if count > 1] == []


def test_a_key_can_mean_another_action_in_another_pane() -> None:
    sort, save = for_key("s", "table"), for_key("s", "log")
    assert sort is not None
    assert save is not None
    assert (sort.id, save.id, for_key("s", "")) == ("sort", "save", None)
    assert set(all_keys()) == {key for action in ACTIONS for key in action.keys}


def test_the_footer_has_the_operations() -> None:
    labels = {action.label for line in (1, 2) for action in for_footer(line, "table")}
    operations = {"Deploy", "Rollback", "Promote", "Dedupe", "Prune", "Pin", "Cancel run", "Refresh", "Help"}
    assert operations <= labels
