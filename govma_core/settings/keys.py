"""The settings as keys: what the table of Settings says of each, for those who read, write and explain it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from govma_core.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as the table of Settings describes it."""

    name: str
    default: Any
    doc: str
    env: str | None
    kind: str
    rules: dict[str, Any]
    check: Callable[[str], None] | None
    """What the text, or each text of a list, has to be (see rules.py)."""

    @property
    def table(self) -> str:
        """Return the table of the file in which it stands, '' for the top."""
        return str(self.rules.get("table", ""))

    @property
    def written(self) -> str:
        """Return the name it has in the file, with its table before a dot."""
        return f"{self.table}.{self.name.removeprefix(f'{self.table}_')}" if self.table else self.name


def _keys() -> dict[str, Key]:
    found = {}
    for field in dataclasses.fields(Settings):
        rules = dict(field.metadata)
        doc, env, check = rules.pop("doc"), rules.pop("env"), rules.pop("check", None)
        found[field.name] = Key(field.name, field.default, doc, env, str(field.type), rules, check)
    return found


KEYS: dict[str, Key] = _keys()
