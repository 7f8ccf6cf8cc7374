"""The description of the API, in the format of the OpenAPI Specification 3.1."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from govma_console.server.requests import ARGUMENTS, REFLINK, REQUIRED, SHA

Json = dict[str, Any]

_TYPES: dict[type, Json] = {
    # What Python takes for printable: no controls, no marks of direction, no other blank than the space.
    str: {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]+$"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 1, "maximum": (1 << 31) - 1},
}
_ERROR = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_RUN: Json = {
    "type": "object",
    "description": "The record of a run. Times are seconds since the epoch, 0 while not there yet.",
    "required": ["id", "operation", "arguments", "by", "origin", "created", "state", "exit_code"],
    "properties": {
        "id": {"type": "string"},
        "operation": {"type": "string"},
        "arguments": {"type": "object"},
        "by": {"type": "string"},
        "origin": {"type": "string"},
        "created": {"type": "number"},
        "queued": {"type": "boolean"},
        "state": {
            "enum": [
                *("starting", "waiting", "running"),
                *("ok", "failed", "refused", "busy", "cancelled", "interrupted"),
            ]
        },
        "stage": {"type": "string"},
        "started": {"type": "number"},
        "finished": {"type": "number"},
        "exit_code": {"type": ["integer", "null"]},
        "message": {"type": "string"},
        "version": {"type": "string"},
        "version_before": {"type": "string"},
        "commit": {"type": "string"},
        "details": {"type": "object"},
    },
}
_HOLD: Json = {
    "type": "object",
    "description": "What holds deploys: all (commit is empty) or those of one commit. Times as those of a run.",
    "required": ["commit", "version", "reason", "by", "at", "until", "run", "damaged"],
    "properties": {
        **{key: {"type": "string"} for key in ("commit", "version", "reason", "by", "run")},
        **{key: {"type": "number"} for key in ("at", "until")},
        "damaged": {"type": "boolean"},
    },
}
_HOLD_LIST: Json = {"type": "array", "items": {"$ref": "#/components/schemas/Hold"}}
_COMMIT: Json = {"name": "commit", "in": "query", "schema": {"type": "string", "pattern": f"^({SHA.pattern})$"}}
_AGE: Json = {"type": "string", "description": "An age such as 30d or 12h", "pattern": "^[0-9]{1,6}[smhdw]$"}
_TEXTS: Json = {"type": "array", "items": {"type": "string"}}
_SERVICES: Json = {
    "type": "object",
    "description": "Times are seconds since the epoch, 0 while not known. No value of the environment is in it.",
    "required": ["project", "directory", "services", "differences", "storage", "problems"],
    "properties": {
        "project": {"type": "string"},
        "directory": {"type": "string"},
        "every_setting": {"type": "boolean", "description": "False when only the main settings were compared"},
        "services": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "container", "state", "health", "started", "restarts", "image", "ports", "mounts"],
                "properties": {
                    "name": {"type": "string"},
                    "container": {"type": "string"},
                    "state": {"type": "string"},
                    "health": {"type": "string"},
                    "started": {"type": "number"},
                    "restarts": {"type": "integer"},
                    "image": {"type": "string"},
                    "image_id": {"type": "string"},
                    "image_made": {"type": "number"},
                    "ports": _TEXTS,
                    "mounts": _TEXTS,
                    "builds": {"type": "boolean"},
                    "lines": _TEXTS | {"description": "Its last output; empty for those who may only read"},
                },
            },
        },
        "differences": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["service", "kind", "what", "takes", "downtime"],
                "properties": {name: {"type": "string"} for name in ("service", "kind", "what", "takes")}
                | {"downtime": {"type": "string", "enum": ["site", "pages", "none"]}},
            },
        },
        "storage": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "owner", "wanted", "problem", "mend"],
                "properties": {
                    **{name: {"type": "string"} for name in ("name", "owner", "wanted", "problem", "mend")},
                    "size": {"type": ["integer", "null"]},
                    "whole": {"type": "boolean"},
                },
            },
        },
        "problems": _TEXTS,
    },
}
_EVENT: Json = {
    "type": "object",
    "description": "One event of the stream; data holds JSON, id is what Last-Event-ID takes up again.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": r"^\d{8}-\d{6}-[0-9a-f]{4}$"},
}


def document() -> Json:
    """Return the description, as JSON holds it."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "govma-console", "version": version("govma-console")},
        "paths": {
            "/api/v1/versions": _read("The versions, the latest first, and which one is live", _object()),
            "/api/v1/status": _read("What is live, what runs and waits, and the last run", _object()),
            "/api/v1/history": _read(
                "Which version was live from when to when, the latest first", _history(), _query("limit", 1000)
            ),
            "/api/v1/usage": _read("What versions take on the disk, measured now", _object()),
            "/api/v1/services": _read(
                "The containers, where they differ from what is wanted, and the persistent directories, looked at now",
                _SERVICES,
            ),
            "/api/v1/runs": _read("The runs, the latest first", _runs(), _query("limit", 1000)) | {"post": _start()},
            "/api/v1/runs/{id}": _read("One run", {"$ref": "#/components/schemas/Run"}, _ID),
            "/api/v1/runs/{id}/log": _stream(
                "The log as plain text from byte `offset` on; with follow=1 until the run ends",
                *("text/plain", {"type": "string"}, _ID, _query("offset", 1 << 62), _follow()),
            ),
            "/api/v1/runs/{id}/events": _stream(
                "The events as they come, until the run ends; ids are those that Last-Event-ID takes up again",
                *("text/event-stream", _EVENT, _ID, _last_event()),
            ),
            "/api/v1/runs/{id}/cancel": {
                "post": {
                    "summary": "Ask a run to stop",
                    "parameters": [_ID],
                    "security": [{"token": []}],
                    "responses": _responses(202, {"$ref": "#/components/schemas/Run"}),
                }
            },
            "/api/v1/hold": _read("What holds deploys", _holds()) | {"post": _hold()},
            "/api/v1/release": {
                "post": {
                    "summary": "End all holds, or only that of one commit",
                    "parameters": [_COMMIT],
                    "security": [{"token": []}],
                    "responses": _responses(200, _object(released=_HOLD_LIST)),
                }
            },
        },
        "components": {
            "schemas": {"Run": _RUN, "Hold": _HOLD, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _read(summary: str, schema: Json, *parameters: Json) -> Json:
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": _responses(200, schema)}}


def _stream(summary: str, media: str, schema: Json, *parameters: Json) -> Json:
    responses = _responses(200, schema)
    responses["200"]["content"] = {media: {"schema": schema}}
    return {"get": {"summary": summary, "parameters": list(parameters), "responses": responses}}


def _start() -> Json:
    operations = [
        {
            "type": "object",
            "required": ["operation", *(["arguments"] if REQUIRED.get(operation) else [])],
            "additionalProperties": False,
            "properties": {
                "operation": {"const": operation},
                "arguments": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": sorted(REQUIRED.get(operation, ())),
                    "properties": {name: _argument(name, kinds[0]) for name, kinds in arguments.items()},
                },
            },
        }
        for operation, arguments in ARGUMENTS.items()
    ]
    key = {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}}
    started = _object(run={"$ref": "#/components/schemas/Run"}, waits_for={"type": ["string", "null"]})
    return {
        "summary": "Start a run. A deploy without arguments may be asked for as /deploy may; all else takes a token",
        "parameters": [key],
        "security": [{"token": []}, {}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": operations}}}},
        "responses": _responses(202, started),
    }


def _argument(name: str, kind: type) -> Json:
    if name == "reflink":
        return {"enum": list(REFLINK)}
    if name == "older_than":
        return _AGE
    return _TYPES[kind]


def _responses(status: int, schema: Json) -> Json:
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    return {
        str(status): {"description": "Done", "content": {"application/json": {"schema": schema}}},
        **{str(code): {"description": text} | error for code, text in _ERRORS.items()},
    }


_ERRORS = {
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


def _object(**properties: Json) -> Json:
    return {"type": "object"} | ({"required": sorted(properties), "properties": properties} if properties else {})


def _hold() -> Json:
    body = {"type": "object", "additionalProperties": False, "properties": {"reason": _TYPES[str], "for": _AGE}}
    return {
        "summary": "Hold all deploys, for some time or until they are released; instead of an earlier hold by hand",
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": _responses(200, {"$ref": "#/components/schemas/Hold"}),
    }


def _holds() -> Json:
    return _object(by_hand={"oneOf": [{"$ref": "#/components/schemas/Hold"}, {"type": "null"}]}, commits=_HOLD_LIST)


def _history() -> Json:
    texts = {name: {"type": "string"} for name in ("version", "by", "how", "run", "result", "previous")}
    span = _object(**texts, since={"type": "number"}, until={"type": ["number", "null"]})
    return _object(history={"type": "array", "items": span})


def _runs() -> Json:
    return _object(runs={"type": "array", "items": {"$ref": "#/components/schemas/Run"}})


def _query(name: str, most: int) -> Json:
    return {"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": most}}


def _last_event() -> Json:
    return {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}


def _follow() -> Json:
    return {"name": "follow", "in": "query", "schema": {"enum": ["0", "1"]}}
