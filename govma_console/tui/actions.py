"""The registry of actions: keys, footer, help, palette and availability come from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from textual.keys import key_to_character

from govma_console.tui.availability import (
    Situation,
    always,
    can_cancel,
    can_check,
    can_hold,
    can_pin,
    can_promote,
    can_release,
    can_roll_back,
    can_start,
    has_log,
    has_run,
    has_runs,
    has_search,
    has_versions,
)
from govma_core.text.language import tr

Place = Literal["", "table", "log"]


@dataclass(frozen=True, slots=True)
class Action:
    """One action. `keys` are textual's names; `where` is the pane that must have the focus ('' for any).

    `reason` says why it is not available now, '' when it is. `footer` is the line of the footer it stands in, 0 for
    none.
    """

    id: str
    keys: tuple[str, ...]
    label: str
    help: str
    where: Place = ""
    footer: int = 0
    reason: Callable[[Situation], str] = always
    in_sight: Callable[[Situation], bool] = lambda now: True
    """Whether the footer has a place for it now."""
    starts: Callable[[Situation], dict[str, str]] | None = None
    """Arguments of a run of the operation with this id, where nothing is asked first. Any other action is a method."""
    group: str = ""
    """The heading in the help; see _group()."""

    @property
    def shown_key(self) -> str:
        """Return the key as people read it."""
        return key_name(self.keys[0])


def key_name(key: str) -> str:
    """Return a key as people read it: `F5`, `Ctrl+P`, `/`."""
    if key.startswith("ctrl+"):
        return f"Ctrl+{key[5:].upper()}"
    if key.startswith("shift+"):
        return f"Shift+{key_name(key[6:])}"
    character = "/" if key == "slash" else key_to_character(key)
    return character if character and character.isprintable() else key.capitalize()


def selected_version(now: Situation) -> dict[str, str]:
    """Return the arguments of an operation on the selected version."""
    return {"version": now.selected.name} if now.selected else {}


def _group(name: str, *actions: Action, where: Place = "", footer: int = 0) -> tuple[Action, ...]:
    """Return the actions of one group of the help; all of them are of this pane, or in this line of the footer."""
    return tuple(
        replace(action, group=name, where=where or action.where, footer=footer or action.footer) for action in actions
    )


ACTIONS: tuple[Action, ...] = (
    *_group(
        tr("Operations"),
        Action(
            "deploy",
            ("d",),
            tr("Deploy"),
            tr(
                "Build the remote's branch (or another ref) as a new version and make it live. "
                "Shows first what is pending."
            ),
            reason=can_start,
        ),
        Action(
            "rollback",
            ("r",),
            tr("Rollback"),
            tr("Go back to the selected version; on the live one, to the version that was live before it."),
            reason=can_roll_back,
        ),
        Action("promote", ("p",), tr("Promote"), tr("Make the selected version live."), reason=can_promote),
        Action(
            "check",
            ("e",),
            tr("Check"),
            tr("Test the selected version in a container of its own, as a deploy would, without making it live."),
            reason=can_check,
            in_sight=lambda now: now.snapshot.rehearsed,
            starts=selected_version,
        ),
        Action(
            "dedupe",
            ("u",),
            tr("Dedupe"),
            tr("Hard-link identical files of different versions. Shows first what that would free."),
            reason=has_versions,
        ),
        Action(
            "prune",
            ("x",),
            tr("Prune"),
            tr("Remove old versions. Shows first which, why, and what each frees."),
            reason=has_versions,
        ),
        Action(
            "pin",
            ("i",),
            tr("Pin"),
            tr("Pin the selected version, so that prune keeps it; pressed again, unpin it."),
            reason=can_pin,
        ),
        Action(
            "hold",
            ("h",),
            tr("Hold"),
            tr("Hold all deploys, until a moment or until they are released."),
            reason=can_hold,
            in_sight=lambda now: now.snapshot.holds.by_hand is None,
        ),
        Action(
            "release",
            ("H",),
            tr("Release"),
            tr("End all holds. Shows first what is held, by whom and why."),
            reason=can_release,
            in_sight=lambda now: bool(now.snapshot.holds),
        ),
        Action(
            "cancel",
            ("c",),
            tr("Cancel run"),
            tr("Ask the current run to stop at its next safe point."),
            reason=can_cancel,
        ),
        footer=1,
    ),
    *_group(
        tr("View"),
        Action(
            "refresh", ("f5", "ctrl+r"), tr("Refresh"), tr("Read everything again, and measure the disk."), footer=1
        ),
        Action("pane", ("tab",), tr("Next pane"), tr("Go to the next pane; on a narrow terminal it takes the screen.")),
        Action("pane_back", ("shift+tab",), tr("Pane before"), tr("Go to the pane before.")),
        Action("versions", ("1",), tr("Versions"), tr("Go to the table of versions."), footer=2),
        Action("detail", ("2", "enter"), tr("Detail"), tr("Show all about the selected version."), footer=2),
        Action("log", ("3", "l"), tr("Log"), tr("Go to the log of the run."), footer=2),
        Action("plot", ("4",), tr("Plot"), tr("Show disk usage and build time over the last versions."), footer=2),
        Action(
            "services",
            ("5",),
            tr("Services"),
            tr("Show the containers: state, differences from what is wanted, output; restart them with care."),
            footer=2,
        ),
        Action("zoom", ("z",), tr("Zoom"), tr("Give the focused pane the whole screen, or take it back.")),
    ),
    *_group(
        tr("Versions"),
        Action("filter", ("slash",), tr("Filter"), tr("Show only versions with these words."), where="table", footer=2),
        Action("sort", ("s",), tr("Sort"), tr("Sort by the next column."), where="table", footer=2),
        Action("reverse", ("S",), tr("Reverse"), tr("Turn the order round."), where="table"),
        Action(
            "run_log",
            ("o",),
            tr("Its log"),
            tr("Show the log of the run that made the selected version."),
            footer=2,
            reason=has_run,
        ),
    ),
    *_group(
        tr("Runs"),
        Action("runs", ("R",), tr("Runs"), tr("List all runs, and choose whose log is shown."), reason=has_runs),
        Action(
            "older", ("left_square_bracket",), tr("Older run"), tr("Show the log of the run before."), reason=has_runs
        ),
        Action(
            "newer", ("right_square_bracket",), tr("Newer run"), tr("Show the log of the next run."), reason=has_runs
        ),
    ),
    *_group(
        tr("Log"),
        Action("search", ("slash",), tr("Search"), tr("Search in the log."), footer=2, reason=has_log),
        Action("next", ("n",), tr("Next"), tr("Go to the next match."), reason=has_search),
        Action("previous", ("N",), tr("Previous"), tr("Go to the match before."), reason=has_search),
        Action(
            "follow",
            ("f",),
            tr("Follow"),
            tr("Follow the end of the log, or pause. G and End follow, too."),
            footer=2,
        ),
        Action("wrap", ("w",), tr("Wrap"), tr("Break long lines, or let them run out of sight."), footer=2),
        Action("timestamps", ("t",), tr("Times"), tr("Show the time of each line, or hide it."), footer=2),
        Action(
            "select",
            ("v",),
            tr("Select"),
            tr("Begin a selection at the cursor, or end it."),
            reason=has_log,
        ),
        Action(
            "copy",
            ("y",),
            tr("Copy"),
            tr("Copy the selected lines (or the cursor's line)."),
            reason=has_log,
        ),
        Action("save", ("s",), tr("Save"), tr("Save the log to a file."), footer=2, reason=has_log),
        where="log",
    ),
    *_group(
        tr("App"),
        Action("theme", ("T",), tr("Theme"), tr("Change between dark and light.")),
        Action("help", ("question_mark", "f1"), tr("Help"), tr("Show all keys."), footer=2),
        Action("quit", ("q", "ctrl+c"), tr("Quit"), tr("Quit. A run in progress continues."), footer=2),
    ),
)

BY_ID = {action.id: action for action in ACTIONS}


def all_keys() -> list[str]:
    """Return every key that does something, once."""
    return list(dict.fromkeys(key for action in ACTIONS for key in action.keys))


def for_key(key: str, place: Place) -> Action | None:
    """Return the action of a key while a pane has the focus."""
    return next((action for action in ACTIONS if key in action.keys and action.where in ("", place)), None)


def for_footer(line: int, place: Place) -> list[Action]:
    """Return the actions of a line of the footer while a pane has the focus."""
    return [action for action in ACTIONS if action.footer == line and action.where in ("", place)]
