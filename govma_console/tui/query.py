"""Questions to the core that take seconds, each answered by a process of its own, which can be ended.

`python -m govma_console.tui.query` is that process: it reads a question as JSON, and writes the answer as JSON.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from govma_core.context import Context
from govma_core.disk.usage import account
from govma_core.errors import GovmaError
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
            raise GovmaError("The question was not answered: its process ended.") from None
        if "error" in answer:
            raise GovmaError(answer["error"])
        result: dict[str, Any] = answer["answer"]
        return result

    def give_up(self) -> None:
        """End its process: the answer is not needed any more."""
        self._given_up = True
        if self._process is not None:
            self._process.kill()


def _usage(settings: Settings) -> dict[str, Any]:
    usage = dataclasses.asdict(account(Context.for_reading(settings)))
    return {name: usage[name] for name in ("versions", "real", "unlinked", "free", "capacity", "unread")}


def _prune(settings: Settings, keep: int | None, older_than: str | None) -> dict[str, Any]:
    from govma_core.prune import prune

    return prune.plan(Context.for_reading(settings), keep=keep, older_than=older_than).as_dict()


def _dedupe(settings: Settings) -> dict[str, Any]:
    from govma_core.disk.dedupe import dry_run

    return dry_run(Context.for_reading(settings)).details()


def _services(settings: Settings, lines: int, disk: bool) -> dict[str, Any]:
    from govma_core.services.view import view

    return view(Context.for_reading(settings), lines=lines, disk=disk).plain()


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "usage": _usage,
    "prune": _prune,
    "dedupe": _dedupe,
    "services": _services,
}


def main() -> None:
    """Answer the question on standard input."""
    # The console's drawing and the web server come first.
    os.nice(5)
    question = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        answer = {"answer": _QUESTIONS[question["what"]](from_plain(question["settings"]), **question["arguments"])}
    except (GovmaError, OSError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
