"""One page that must answer as expected: an entry of `checks` in the settings."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from typing import Any

from govma_core.language import tr
from govma_core.settings.rules import require_url_path

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
        """Return it as TOML and JSON hold it: the path, and what differs from the defaults."""
        fields = dataclasses.fields(self)
        return {f.name: getattr(self, f.name) for f in fields if getattr(self, f.name) != f.default}


_KINDS = {field.name: field.type for field in dataclasses.fields(PageCheck)}


def read_page_check(raw: object) -> PageCheck:
    """Read one entry of `checks`; ValueError says what is wrong with it."""
    if not isinstance(raw, dict) or "path" not in raw:
        raise ValueError(tr('each check must be a table with a path, such as {path = "/", status = 200}'))
    for name, value in raw.items():
        if name not in _KINDS:
            near = difflib.get_close_matches(str(name), _KINDS, n=1)
            raise ValueError(
                tr("a check has no {name!r}", name=name) + (tr("; did you mean {near}?", near=near[0]) if near else "")
            )
        kinds = {"str": (str,), "int": (int,), "float": (int, float)}[str(_KINDS[name])]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(
                tr("{name} of a check must be a text, not {value!r}", name=name, value=value)
                if kinds == (str,)
                else tr("{name} of a check must be a number, not {value!r}", name=name, value=value)
            )
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(tr("{name} of a check holds control characters", name=name))
    check = PageCheck(**raw)
    require_url_path(check.path)
    if not 100 <= check.status <= 599:
        raise ValueError(tr("status {status} is no status of HTTP", status=check.status))
    if not 0 < check.timeout <= _LONGEST_WAIT:
        raise ValueError(
            tr(
                "timeout {timeout} must be seconds, {longest_wait} at most",
                timeout=check.timeout,
                longest_wait=_LONGEST_WAIT,
            )
        )
    return check
