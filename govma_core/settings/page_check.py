"""One page that must answer as expected: an entry of `checks` in the settings."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

_LONGEST_WAIT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCheck:
    """A request and what its answer must be. `timeout` is seconds for the whole answer; empty texts ask for nothing.

    `header` is `Name: text`, the text being part of the header's value, or a name alone that must be there.
    """

    path: str
    status: int = 200
    contains: str = ""
    lacks: str = ""
    header: str = ""
    host: str = ""
    timeout: float = 10.0

    def plain(self) -> dict[str, Any]:
        """Give it as TOML and JSON hold it: the path, and what differs from the defaults."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}


_KINDS = {field.name: field.type for field in dataclasses.fields(PageCheck)}


def read_page_check(raw: object) -> PageCheck:
    """Read one entry of `checks`; ValueError says what is wrong with it."""
    if not isinstance(raw, dict) or "path" not in raw:
        raise ValueError('each check must be a table with a path, such as {path = "/", status = 200}')
    for name, value in raw.items():
        if name not in _KINDS:
            near = difflib.get_close_matches(str(name), _KINDS, n=1)
            raise ValueError(f"a check has no {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        kinds = {"str": (str,), "int": (int,), "float": (int, float)}[str(_KINDS[name])]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{name} of a check must be a {'text' if kinds == (str,) else 'number'}, not {value!r}")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{name} of a check holds control characters")
    check = PageCheck(**raw)
    require_url_path(check.path)
    if not 100 <= check.status <= 599:
        raise ValueError(f"status {check.status} is no status of HTTP")
    if not 0 < check.timeout <= _LONGEST_WAIT:
        raise ValueError(f"timeout {check.timeout} must be seconds, {_LONGEST_WAIT} at most")
    return check


def require_url_path(path: str) -> None:
    """Raise ValueError for what is no path as it stands in a URL."""
    if not path.startswith("/") or " " in path or not path.isascii() or not path.isprintable():
        raise ValueError(f"path {path!r} must begin with / and be written as in a URL (%20 for a space)")
