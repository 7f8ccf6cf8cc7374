"""The description of the API: openapi.json (OpenAPI Specification 3.1), with what is derived from the code."""

from __future__ import annotations

import json
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from govma_console.server.requests import ARGUMENTS, REFLINK, REQUIRED

Json = dict[str, Any]

_ERRORS = {
    400: "The query has an option that is not known here",
    401: "It takes a token that is in token_file",
    403: "It comes from a web page, or is refused on purpose",
    404: "There is no such run",
    408: "The body did not come in time",
    409: "Another run has not ended, or this one has",
    413: "The body is too large, or should not be there",
    422: "The request makes no sense",
    423: "Deploys are held; Retry-After says until when, where that is known",
    429: "Too many requests, or too many runs that wait",
    503: "It cannot be done now",
}
_ERROR_CONTENT: Json = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
_TYPES: dict[type, Json] = {
    # What Python takes for printable: no controls, no marks of direction, no other blank than the space.
    str: {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1},
}
_NAMED_TYPES: dict[str, Json] = {
    "reflink": {"enum": list(REFLINK)},
    "older_than": {"type": "string", "description": "An age such as 30d or 12h", "pattern": "^[0-9]{1,6}[smhdw]$"},
}


def load_document() -> Json:
    """Return the description as JSON-ready data: each operation with its errors, and the requests that start a run."""
    document: Json = json.loads((files(__package__) / "openapi.json").read_text(encoding="utf-8"))
    document["info"]["version"] = version("govma-console")
    errors = {str(status): {"description": text} | _ERROR_CONTENT for status, text in _ERRORS.items()}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] |= errors
    start_run = document["paths"]["/api/v1/runs"]["post"]
    start_run["requestBody"]["content"]["application/json"]["schema"]["oneOf"] = [*map(_run_schema, ARGUMENTS)]
    return document


def _run_schema(operation: str) -> Json:
    required = sorted(REQUIRED.get(operation, ()))
    arguments = {name: _NAMED_TYPES.get(name) or _TYPES[expected] for name, expected in ARGUMENTS[operation].items()}
    return {
        "type": "object",
        "required": ["operation", *(["arguments"] if required else [])],
        "additionalProperties": False,
        "properties": {
            "operation": {"const": operation},
            "arguments": {
                "type": "object",
                "additionalProperties": False,
                "required": required,
                "properties": arguments,
            },
        },
    }
