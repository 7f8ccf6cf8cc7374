"""One thing that a person can do in the console, and how its keys are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from govma_console.tui import availability as when
from govma_console.tui.availability import Situation

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
    group: str
    where: Place = ""
    footer: int = 0
    reason: Callable[[Situation], str] = when.always
    in_sight: Callable[[Situation], bool] = lambda now: True
    """Whether the footer has a place for it now."""

    @property
    def shown_key(self) -> str:
        """Return the key as people read it."""
        return key_name(self.keys[0])


def key_name(key: str) -> str:
    """Return a key as people read it: `F5`, `Ctrl+P`, `/`."""
    signs = {
        "slash": "/",
        "question_mark": "?",
        "left_square_bracket": "[",
        "right_square_bracket": "]",
        "enter": "Enter",
        "tab": "Tab",
        "escape": "Esc",
        "space": "Space",
        "less_than_sign": "<",
        "greater_than_sign": ">",
    }
    if key in signs:
        return signs[key]
    if key.startswith("ctrl+"):
        return f"Ctrl+{key[5:].upper()}"
    if key.startswith("shift+"):
        return f"Shift+{key_name(key[6:])}"
    return key.upper() if len(key) > 1 else key
