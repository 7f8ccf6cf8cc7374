"""Questions about the disk and the containers, answered in a process of their own: `python -m govma_console.tui.query`.

They walk whole trees and fork; the app has threads and a screen to draw. The question comes as JSON on standard input,
the answer goes out as JSON; an error of the core is an answer, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from govma_core.errors import GovmaError
from govma_core.language import tr
from govma_core.settings import Settings, from_plain, to_plain


class Query:
    """One question on its way; `ask` blocks (call it in a thread), `give_up` ends it from anywhere."""

    def __init__(self, settings: Settings, what: str, **arguments: Any) -> None:  # noqa: ANN401
        self._text = json.dumps({"settings": to_plain(settings), "what": what, "arguments": arguments})
        self._process: subprocess.Popen[str] | None = None
        self._given_up = False

    def ask(self) -> dict[str, Any]:
        """Return the answer; GovmaError with the sentence of what went wrong."""
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "govma_console.tui.query"],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            self._process = process
            if self._given_up:
                process.kill()
            out, _ = process.communicate(self._text)
        try:
            answer = json.loads(out)
        except ValueError:
            raise GovmaError(tr("The question was not answered: its process ended.")) from None
        if "error" in answer:
            raise GovmaError(answer["error"])
        found: dict[str, Any] = answer["answer"]
        return found

    def give_up(self) -> None:
        """End it; nobody waits for the answer any more."""
        self._given_up = True
        if self._process is not None:
            self._process.kill()


def _usage(settings: Settings, names: list[str], current: str | None) -> dict[str, Any]:
    from govma_core.disk.usage.measure import measure

    found = measure(settings.versions_dir, names, current=current, cache_dir=settings.state_dir / "usage")
    return {
        "versions": {usage.name: [usage.size, usage.exclusive, usage.shared] for usage in found.versions},
        "real": found.real,
        "unlinked": found.unlinked,
        "free": found.free,
        "capacity": found.capacity,
        "unread": found.unread,
    }


def _prune(settings: Settings, keep: int | None, older_than: str | None) -> dict[str, Any]:
    from govma_core.operations import prune

    return prune.plan(_context(settings), keep=keep, older_than=older_than).as_dict()


def _dedupe(settings: Settings) -> dict[str, Any]:
    from govma_core.operations.dedupe import dry_run

    return dry_run(_context(settings)).details()


def _services(settings: Settings, lines: int, disk: bool) -> dict[str, Any]:
    from govma_core.operations.services_view import view

    return view(_context(settings), lines=lines, disk=disk).plain()


def _context(settings: Settings) -> Any:  # noqa: ANN401
    from govma_core.operations.context import Context

    return Context.for_reading(settings)


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "usage": _usage,
    "prune": _prune,
    "dedupe": _dedupe,
    "services": _services,
}


def main() -> None:
    """Answer one question."""
    # What is drawn and what is served comes first.
    os.nice(5)
    asked = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        answer = {"answer": _QUESTIONS[asked["what"]](from_plain(asked["settings"]), **asked["arguments"])}
    except (GovmaError, OSError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
