"""What a request to start a run may say, checked field by field."""

from __future__ import annotations

import json
import re
from typing import Any

from starlette.requests import Request

from govma_console.server.deploy import DEFAULTS
from govma_console.server.responses import Refusal
from govma_core.text.durations import age_seconds
from govma_core.text.language import tr

_TEXT, _FLAG, _COUNT = (str,), (bool,), (int,)
ARGUMENTS: dict[str, dict[str, tuple[type, ...]]] = {
    "deploy": {"ref": _TEXT, "rebuild": _FLAG, "promote": _FLAG, "rehearse": _FLAG, "force": _FLAG},
    "rollback": {"version": _TEXT, "keep_mark": _FLAG},
    "promote": {"version": _TEXT, "rehearse": _FLAG},
    "check": {"version": _TEXT},
    "dedupe": {"anywhere": _FLAG, "reflink": _TEXT},
    "prune": {"keep": _COUNT, "older_than": _TEXT},
}
"""The operations that may be asked for, with the types of their arguments."""
_WORDS = {str: tr("a text"), bool: tr("true or false"), int: tr("a whole number")}
SHA = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
REFLINK = ("auto", "always", "never")
REQUIRED = {"promote": {"version"}, "check": {"version"}}


async def run_wanted(request: Request) -> tuple[str, dict[str, Any]]:
    """Return the operation and the arguments that a request's body asks for; refused when it makes no sense."""
    data = await _json(request)
    if not isinstance(data, dict) or not isinstance(data.get("operation"), str):
        raise Refusal(422, tr('The body must be an object with an operation, such as {"operation": "deploy"}.'))
    operation, arguments = data["operation"], data.get("arguments", {})
    if operation not in ARGUMENTS:
        raise Refusal(
            422,
            tr(
                "There is no operation {operation!r}; there are {arguments}.",
                operation=operation[:80],
                arguments=", ".join(ARGUMENTS),
            ),
        )
    if not isinstance(arguments, dict) or data.keys() - {"operation", "arguments"}:
        raise Refusal(422, tr("Beside the operation the body may hold an object named arguments, and nothing else."))
    known = ARGUMENTS[operation]
    for name, value in arguments.items():
        if name not in known:
            raise Refusal(
                422,
                tr(
                    "{operation} has no argument {name!r}; it has {known}.",
                    operation=operation,
                    name=name[:80],
                    known=", ".join(known),
                ),
            )
        if known[name] is _COUNT and isinstance(value, float) and value.is_integer():
            # JSON makes no difference between 5 and 5.0.
            value = arguments[name] = int(value)
        # Not isinstance(): True is an int, too.
        if type(value) not in known[name]:
            raise Refusal(422, tr("The argument {name} must be {words}.", name=name, words=_WORDS[known[name][0]]))
        if isinstance(value, str):
            _check_text(name, value)
        if name == "reflink" and value not in REFLINK:
            raise Refusal(422, tr("The argument reflink must be one of {reflink}.", reflink=", ".join(REFLINK)))
        if name == "older_than":
            _age(name, value)
        if type(value) is int and not 0 < value < 1 << 31:
            raise Refusal(422, tr("The argument {name} must be 1 or more.", name=name))
    if missing := REQUIRED.get(operation, set()) - arguments.keys():
        raise Refusal(
            422, tr("{operation} needs the argument {missing}.", operation=operation, missing=", ".join(missing))
        )
    if operation == "deploy" and not arguments.get("force"):
        # Not forced is what everybody's deploy is.
        arguments.pop("force", None)
    return operation, (DEFAULTS | arguments if operation == "deploy" else arguments)


async def hold_wanted(request: Request) -> tuple[str, int]:
    """Return the reason, and for how many seconds (0: until it is released), that a request's body asks a hold for."""
    data = await _json(request)
    if not isinstance(data, dict) or data.keys() - {"reason", "for"}:
        raise Refusal(
            422, tr('The body must be an object with a reason, and for how long, such as {"for": "2h"}, or empty.')
        )
    for name in data:
        _check_text(name, data[name])
    return data.get("reason", ""), _age("for", data["for"]) if "for" in data else 0


def commit_wanted(request: Request) -> str:
    """Return the commit that a request's query names, '' for none."""
    commit = request.query_params.get("commit", "")
    if "commit" in request.query_params and not SHA.fullmatch(commit):
        raise Refusal(422, tr("commit must be the whole sha of a commit."))
    return commit


async def _json(request: Request) -> Any:  # noqa: ANN401 - whatever JSON can hold
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise Refusal(422, tr("The body is not JSON.")) from None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value or len(value) > 255 or not value.isprintable():
        raise Refusal(422, tr("The argument {name} must be a text of 1 to 255 printable characters.", name=name))


def _age(name: str, text: str) -> int:
    try:
        return age_seconds(text)
    except ValueError as error:
        raise Refusal(422, tr("The argument {name}: {error}.", name=name, error=error)) from None
