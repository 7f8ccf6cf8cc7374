"""What a restart has under way, written before each step, so that whoever comes after a crash can put it back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core import jsonfile


@dataclass
class Change:
    """One service's exchange. `former` is the container that ran, '' when there was none; `name` its name.

    `beside`: the new container `new` ('' while it is being made) is made beside it. Else compose itself recreates the
    container, and the former one is gone then.
    """

    service: str
    former: str = ""
    name: str = ""
    beside: bool = False
    new: str = ""
    touched: bool = False
    """True from the moment on at which the former container may be stopped."""
    well: bool = True
    """False when what was before did not run well either: then it need not run well when it is back."""


@dataclass
class Journal:
    """One restart: images by tag before it, the commit of the project before it ('' when it was not moved)."""

    path: Path
    run: str
    project: str
    head: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    done: bool = False
    """True once the new containers are good: what is left to do is to remove the former ones."""

    def write(self) -> None:
        """Put it on the disk."""
        data = {name: value for name, value in dataclasses.asdict(self).items() if name != "path"}
        jsonfile.replace(self.path, data, mode=0o600)

    def clear(self) -> None:
        """Remove it: all is as it was, or as it should be."""
        self.path.unlink(missing_ok=True)


def path_of(state_dir: Path) -> Path:
    """Return the place of the journal."""
    return state_dir / "services-restart.json"


def read_journal(state_dir: Path) -> Journal | None:
    """Return what an interrupted restart left; None when nothing is under way."""
    path = path_of(state_dir)
    data: dict[str, Any] | None = jsonfile.read(path)
    if data is None:
        return None
    try:
        changes = [Change(**change) for change in data.pop("changes")]
        return Journal(path, changes=changes, **data)
    except (KeyError, TypeError):
        return None
