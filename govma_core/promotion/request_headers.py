"""The headers that checks send, with what they name of the env file."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from string import Template

from govma_core.masking import SHORTEST, Mask
from govma_core.promotion.web_page import Headers
from govma_core.settings.validate import PageCheck
from govma_core.text.language import tr
from govma_core.versions import env_file

_ASSIGNMENT = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)[ \t]*=
        (?:[ \t]*(?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)")[ \t]*(?:\#.*)?
          |(?P<bare>.*?)(?:[ \t]\#.*)?)$""",
    re.MULTILINE | re.VERBOSE,
)
"""One in the env file: quoted text whole, over lines too; elsewhere a `#` behind a blank begins a comment."""


def with_secrets(checks: Sequence[PageCheck], path: Path) -> tuple[tuple[PageCheck, ...], list[str], Mask]:
    """Return the checks whose headers could be filled, why others could not, and the mask of what they send.

    A header's `$NAME` is filled with what the env file at `path` has under that name.
    """
    named = {name for check in checks for name in _variables(check)}
    problems = env_file.preflight(path) if named else []
    assignments = _assignments(path) if named and not problems else {}
    values: dict[str, str] = {}
    for name in sorted(named if not problems else ()):
        value = assignments.get(name, "")
        if problem := _problem(name, value, path):
            problems.append(problem)
        else:
            values[name] = value or ""
    filled = tuple(
        replace(check, request_headers=tuple((n, Template(v).substitute(values)) for n, v in check.request_headers))
        for check in checks
        if _variables(check) <= values.keys()
    )
    return filled, problems, _mask(values.values())


def headers_of(checks: Iterable[PageCheck]) -> Headers:
    """Return the headers of the first check that sends some, expects 200 and asks for no other host.

    They are those without which the site answers something else.
    """
    own = (check for check in checks if check.status == 200 and not check.host)
    return next((check.request_headers for check in own if check.request_headers), ())


def _variables(check: PageCheck) -> set[str]:
    return {name for _, value in check.request_headers for name in Template(value).get_identifiers()}


def _assignments(path: Path) -> dict[str, str | None]:
    """Return the values of an env file by name; None where text stands beside quotes, or these are not closed."""
    values: dict[str, str | None] = {}
    for match in _ASSIGNMENT.finditer(path.read_text("utf-8-sig", "surrogateescape")):
        value = match["single"]
        if match["double"] is not None:
            value = re.sub(r"\\([\"\\$])", r"\1", match["double"])
        elif match["bare"] is not None:
            bare = match["bare"].strip(" \t")
            value = None if bare.startswith(("'", '"')) else bare
        values[match["name"]] = value
    return values


def _problem(name: str, value: str | None, path: Path) -> str:
    """Say why a value cannot be sent, '' when it can."""
    if value is None or not value.isprintable():
        return tr(
            "env_file ({path}) has a value for {name} that cannot be sent in a header (request_headers of a check): "
            "its quotes do not end with it, or it has more than one line or a control character. Correct it there.",
            path=path,
            name=name,
        )
    if not value:
        return tr(
            "env_file ({path}) has no value for {name}, which request_headers of a check name. "
            "Add a line that begins with {name}= to it, or take the name out of request_headers.",
            path=path,
            name=name,
        )
    if len(value) < SHORTEST or 0 < len(_basic(value)[1]) < SHORTEST:
        return tr(
            "env_file ({path}) has a value for {name}, or a password in it, of fewer than {count} characters, which "
            "could not be kept out of logs. Choose a longer one, or write it into request_headers if it is no secret.",
            path=path,
            name=name,
            count=SHORTEST,
        )
    return ""


def _mask(values: Iterable[str]) -> Mask:
    """Return the mask of values, and of the name and the password in each: PHP shows these, too.

    A name is masked where it is not a part of a word.
    """
    pairs = [_basic(value) for value in values]
    secrets = {*values, *(password for _, password in pairs if password)}
    names = {name for name, _ in pairs if len(name) >= SHORTEST} - secrets
    return Mask(secrets | names, alone=names)


def _basic(value: str) -> tuple[str, str]:
    """Return the name and the password in a value for `Basic`, the secret second; two empty texts in any other."""
    try:
        # Not all write the padding.
        name, colon, password = base64.b64decode(f"{value.rpartition(' ')[2]}==").decode().partition(":")
    except ValueError:
        return "", ""
    return ("", "") if not colon else (name, password) if password else ("", name)
