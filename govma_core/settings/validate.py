"""What one text of the settings must be; each rule raises ValueError that says what is wrong with it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from dataclasses import dataclass
from string import Template
from typing import Any
from urllib.parse import urlsplit

from govma_core.text.globs import globs
from govma_core.text.language import tr
from govma_core.text.secret_names import SECRET_HEADER

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


def require_folder(text: str) -> None:
    """Ask for a folder of the repository."""
    if not text or text.startswith("/") or ".." in text.split("/"):
        raise ValueError(tr("{text_!r} must be a folder of the repository, such as docker/builder", text_=text))


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
    `request_headers` are sent: names, and values with `$NAME` in the place of what env_file holds under that name.
    """

    path: str
    status: int = 200
    contains: str = ""
    lacks: str = ""
    header: str = ""
    host: str = ""
    request_headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0

    def plain(self) -> dict[str, Any]:
        """Return it as TOML and JSON hold it: the path, and what differs from the defaults."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["request_headers"] = dict(self.request_headers)
        return {name: value for name, value in values.items() if value and value != _DEFAULTS[name]}


_KINDS = {field.name: field.type for field in dataclasses.fields(PageCheck)}
_DEFAULTS = {field.name: field.default for field in dataclasses.fields(PageCheck)}


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return the end of a sentence about a name that there is not; '' where none of `names` is like it."""
    near = nearest(name, names)
    return tr("; did you mean {near}?", near=near[0]) if near else ""


def nearest(name: str, names: Collection[str]) -> list[str]:
    """Return the one of the names that is most like a name; none where none is."""
    import difflib

    return difflib.get_close_matches(name, names, n=1)


def read_page_check(raw: object) -> PageCheck:
    """Read one entry of `checks`; ValueError says what is wrong with it."""
    if not isinstance(raw, dict) or "path" not in raw:
        raise ValueError(tr('each check must be a table with a path, such as {path = "/", status = 200}'))
    for name, value in raw.items():
        if name not in _KINDS:
            raise ValueError(tr("a check has no {name!r}", name=name) + did_you_mean(str(name), _KINDS))
        if name == "request_headers":
            _require_headers(value)
            continue
        kinds = {"str": (str,), "int": (int,), "float": (int, float)}[str(_KINDS[name])]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(
                tr("{name} of a check must be a text in quotes", name=name)
                if kinds == (str,)
                else tr("{name} of a check must be a number, not {value!r}", name=name, value=value)
            )
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(tr("{name} of a check holds control characters", name=name))
    check = PageCheck(**raw | {"request_headers": tuple(raw.get("request_headers", {}).items())})
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


_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_OURS = ("accept-encoding", "connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding")
"""Headers by which a request and its answer are told from the next ones, and `host`, which a check has itself."""


def _require_headers(raw: object) -> None:
    """Ask for the headers of a request; what is wrong is said without their values, which may be secrets."""
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise ValueError(
            tr('request_headers of a check must be a table of texts, such as {X-Forwarded-Proto = "https"}')
        )
    names = [name.lower() for name in raw]
    for name, value in raw.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(tr("request_headers: {name!r} is no name of a header", name=name))
        if name.lower() in _OURS:
            raise ValueError(tr("request_headers: {name} cannot be given; for Host a check has `host`", name=name))
        if names.count(name.lower()) > 1:
            raise ValueError(tr("request_headers: {name} is given twice; give it once", name=name))
        if not value.isprintable():
            raise ValueError(tr("{name} of a check holds control characters", name=name))
        if not Template(value).is_valid():
            raise ValueError(
                tr(
                    "request_headers: {name} has a $ before no variable name; write $$ for a dollar sign",
                    name=name,
                )
            )
        if SECRET_HEADER.search(name) and not Template(value).get_identifiers():
            raise ValueError(
                tr(
                    "request_headers: {name} may be a secret, which everybody who may read the settings would see; "
                    'put it into env_file and name its variable here, such as "Basic $SITE_AUTH"',
                    name=name,
                )
            )
