"""What is found where everything a server needs is looked at: by the doctor, and before a deploy."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from govma_core.language import tr

State = Literal["ok", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and the command that mends it; `then` is what has to follow that.

    One that is `safe` may be run without asking: it makes a directory or gives it to its owner, and touches nothing
    that is in it. With one that `stops` no deploy begins.
    """

    what: str
    state: State
    said: str
    mend: tuple[str, ...] = ()
    safe: bool = False
    stops: bool = False
    then: tuple[tuple[str, ...], ...] = ()

    @property
    def command(self) -> str:
        """Return the command as it is typed, '' when there is none."""
        return " && ".join(shlex.join(each) for each in (self.mend, *self.then) if each)

    def sentence(self) -> str:
        """Return it as a sentence of its own."""
        if self.said.endswith("."):
            return self.said
        if not self.mend:
            return f"{self.what}: {self.said}."
        return tr("{what}: {said}. To fix: {command}", what=self.what, said=self.said, command=self.command)
