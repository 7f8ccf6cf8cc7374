"""What requests ask for, checked: the options in their query, and the bodies that start runs and hold deploys."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from starlette.requests import Request

from govma_console.server.responses import Refusal
from govma_core.errors import UsageError
from govma_core.text.language import tr
from govma_core.text.times import age_seconds

ARGUMENTS: dict[str, dict[str, type]] = {
    "deploy": {"ref": str, "rebuild": bool, "promote": bool, "rehearse": bool, "force": bool, "if_new": bool},
    "rollback": {"version": str, "keep_mark": bool, "current_env": bool},
    "promote": {"version": str, "rehearse": bool},
    "check": {"version": str},
    "dedupe": {"anywhere": bool, "reflink": str},
    "prune": {"keep": int, "older_than": str},
}
"""The operations that a request may start, with the types of their arguments."""
_WORDS = {str: tr("a text"), bool: tr("true or false"), int: tr("a whole number")}
SHA = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
REFLINK = ("auto", "always", "never")
REQUIRED = {"promote": {"version"}, "check": {"version"}}
DEFAULTS = {"ref": None, "rebuild": False, "promote": True}
"""The arguments of a deploy of the configured branch."""
IF_NEW = DEFAULTS | {"if_new": True}
"""Those of one that makes nothing when the live version was made from the same."""
_YES, _NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")

Response = TypeVar("Response")
Endpoint = Callable[[Request], Awaitable[Response]]


def with_options(*names: str) -> Callable[[Endpoint[Response]], Endpoint[Response]]:
    """Have an endpoint refuse what it does not know in a query: an option that is overlooked is one that was meant."""

    def declare(endpoint: Endpoint[Response]) -> Endpoint[Response]:
        @wraps(endpoint)
        async def checked(request: Request) -> Response:
            for name in request.query_params:
                if name not in names:
                    there = tr("there are: {names}", names=", ".join(names)) if names else tr("there are none")
                    raise Refusal(400, tr("There is no option {name!r} here; {there}.", name=name[:80], there=there))
            return await endpoint(request)

        return checked

    return declare


def parse_flag(request: Request, name: str, *more: str) -> bool:
    """Return whether an option is on; `more` are other words for that. UsageError for a value that is no answer."""
    text = request.query_params.get(name, "0")
    if text.lower() not in (*_YES, *_NO, *more):
        raise UsageError("{name} must be one of {words}.", name=name, words=", ".join((*more, *_YES, *_NO)))
    return text.lower() not in _NO


async def parse_run_request(request: Request) -> tuple[str, dict[str, Any]]:
    """Return the operation and the arguments in a request's body; a body that makes no sense is refused."""
    data = await _parse_json(request)
    if not isinstance(data, dict) or not isinstance(data.get("operation"), str):
        raise UsageError('The body must be an object with an operation, such as {"operation": "deploy"}.')
    operation, arguments = data["operation"], data.get("arguments", {})
    if operation not in ARGUMENTS:
        raise UsageError(
            "There is no operation {operation!r}; there are {arguments}.",
            operation=operation[:80],
            arguments=", ".join(ARGUMENTS),
        )
    if not isinstance(arguments, dict) or data.keys() - {"operation", "arguments"}:
        raise UsageError("Beside the operation the body may hold an object named arguments, and nothing else.")
    arguments = {name: _parse_argument(operation, name, value) for name, value in arguments.items()}
    if missing := REQUIRED.get(operation, set()) - arguments.keys():
        raise UsageError("{operation} needs the argument {missing}.", operation=operation, missing=", ".join(missing))
    if operation == "deploy":
        # A deploy that is not forced is the same as one that does not mention it.
        arguments = {name: value for name, value in arguments.items() if value or name not in ("force", "if_new")}
    return operation, (DEFAULTS | arguments if operation == "deploy" else arguments)


def _parse_argument(operation: str, name: str, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    expected = ARGUMENTS[operation].get(name)
    if expected is None:
        argument_names = ", ".join(ARGUMENTS[operation])
        raise UsageError(
            "{operation} has no argument {name!r}; it has {known}.",
            operation=operation,
            name=name[:80],
            known=argument_names,
        )
    if expected is int and isinstance(value, float) and value.is_integer():
        # JSON makes no difference between 5 and 5.0.
        value = int(value)
    # Not isinstance(): True is an int, too.
    kind: type = type(value)
    if kind is not expected:
        raise UsageError("The argument {name} must be {words}.", name=name, words=_WORDS[expected])
    if isinstance(value, str):
        _check_text(name, value)
    if name == "reflink" and value not in REFLINK:
        raise UsageError("The argument reflink must be one of {reflink}.", reflink=", ".join(REFLINK))
    if name == "older_than":
        _parse_age(name, value)
    if expected is int and not 0 < value < 1 << 31:
        raise UsageError("The argument {name} must be 1 or more.", name=name)
    return value


async def parse_hold_request(request: Request) -> tuple[str, int]:
    """Return a hold's reason and its seconds (0: until it is released) from a request's body."""
    data = await _parse_json(request)
    if not isinstance(data, dict) or data.keys() - {"reason", "for"}:
        raise UsageError('The body must be an object with a reason, and for how long, such as {"for": "2h"}, or empty.')
    for name in data:
        _check_text(name, data[name])
    return data.get("reason", ""), _parse_age("for", data["for"]) if "for" in data else 0


def parse_commit(request: Request) -> str:
    """Return the commit in a request's query, '' for none."""
    commit = request.query_params.get("commit", "")
    if "commit" in request.query_params and not SHA.fullmatch(commit):
        raise UsageError("commit must be the whole sha of a commit.")
    return commit


async def _parse_json(request: Request) -> Any:  # noqa: ANN401 - whatever JSON can hold
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise UsageError("The body is not JSON.") from None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value or len(value) > 255 or not value.isprintable():
        raise UsageError("The argument {name} must be a text of 1 to 255 printable characters.", name=name)


def _parse_age(name: str, text: str) -> int:
    try:
        return age_seconds(text)
    except ValueError as error:
        raise UsageError("The argument {name}: {error}.", name=name, error=error) from None
