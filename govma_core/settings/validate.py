"""What one text of the settings must be; each rule raises ValueError that says what is wrong with it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from govma_core.text.globs import globs
from govma_core.text.language import tr

_SIZE = re.compile(r"\d+(\.\d+)?[bkmg]?", re.IGNORECASE)


def require_file_name(text: str) -> None:
    """Ask for the name of a file, without a directory."""
    if not text or "/" in text or text in (".", ".."):
        raise ValueError(tr("{raw!r} must be the plain name of a file in vendor_dir", raw=text))


def require_size(text: str) -> None:
    """Ask for a size as Docker takes it."""
    if not _SIZE.fullmatch(text):
        raise ValueError(tr("{raw!r} is not a size such as 512m or 2g", raw=text))


def require_glob(text: str) -> None:
    """Ask for a glob that some relative path can fit."""
    globs([text])


def require_inside(text: str) -> None:
    """Ask for a directory below the version."""
    if not text or text.startswith("/") or {"", ".", ".."} & set(text.rstrip("/").split("/")):
        raise ValueError(tr("{item!r} must be a directory below the version, such as system/user/cache", item=text))


def require_container_path(text: str) -> None:
    """Ask for a path in a container."""
    if not text.startswith("/") or text == "/" or ".." in text.split("/"):
        raise ValueError(tr("{text_!r} must be an absolute path in the container, and not /", text_=text))


def require_url_path(path: str) -> None:
    """Ask for a path as it stands in a request."""
    if not path.startswith("/") or not all("!" <= letter <= "~" for letter in path):
        raise ValueError(tr("path {path!r} must begin with / and be written as in a URL (%20 for a space)", path=path))


def require_url(text: str) -> None:
    """Ask for the address of a site: scheme, host and perhaps a port."""
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(tr("{text_!r} must be http:// or https://, a host and perhaps a port", text_=text))


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
            import difflib

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
