"""One value at a time: from TOML or from an environment variable into the type its key asks for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from govma_core.ages import age_seconds
from govma_core.globs import globs
from govma_core.language import tr
from govma_core.settings.model import KEYS, Key, Settings
from govma_core.settings.page_check import PageCheck, read_page_check, require_url_path

_SIZE = re.compile(r"\d+(\.\d+)?[bkmg]?", re.IGNORECASE)


def read_text(key: Key, text: str) -> Any:  # noqa: ANN401
    """Read the text of an environment variable; ValueError says what is wrong with it."""
    if key.kind in ("int", "float"):
        try:
            return read_value(key, int(text) if key.kind == "int" else float(text))
        except ValueError:
            raise ValueError(
                tr("{text_!r} is not {a} number in range", text_=text, a=tr("a whole") if key.kind == "int" else "a")
            ) from None
    return read_value(key, text)


def read_value(key: Key, raw: Any) -> Any:  # noqa: ANN401
    """Read a TOML value; ValueError says what is wrong with it."""
    match key.kind:
        case "Path" | "Path | None":
            return _path(key, raw)
        case "int":
            return _number(key, raw, (int,))
        case "bool":
            if not isinstance(raw, bool):
                raise ValueError(tr("must be true or false"))
            return raw
        case "float":
            return float(_number(key, raw, (int, float)))
        case "tuple[str, ...]":
            if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
                raise ValueError(tr('must be a list of texts, such as ["one", "two"]'))
            if key.rules.get("globs"):
                globs(raw)
            for item in raw if key.rules.get("inside") else ():
                _require_inside(item)
            for item in raw if key.rules.get("inside_container") else ():
                _require_container_path(item)
            return tuple(raw)
        case "tuple[PageCheck, ...]":
            if not isinstance(raw, list):
                raise ValueError(tr('must be a list of tables, such as [{path = "/", status = 200}]'))
            return tuple(read_page_check(item) for item in raw)
        case _:
            return _text(key, raw)


def _path(key: Key, raw: Any) -> Path | None:  # noqa: ANN401
    if not isinstance(raw, str):
        raise ValueError(tr("must be a path in quotes"))
    if not raw:
        if key.kind == "Path | None":
            return None
        raise ValueError(tr("is empty; it must be an absolute path"))
    path = Path(raw)
    if not path.is_absolute():
        raise ValueError(tr("{raw!r} is not an absolute path", raw=raw))
    if ".." in path.parts or "\0" in raw or "\n" in raw:
        raise ValueError(tr("{raw!r} must be a plain path, without '..' or line ends", raw=raw))
    return path


def _number(key: Key, raw: Any, kinds: tuple[type, ...]) -> Any:  # noqa: ANN401
    if isinstance(raw, bool) or not isinstance(raw, kinds) or not isinstance(raw, int | float):
        raise ValueError(tr("{raw!r} is not a {whole}number", raw=raw, whole=tr("whole ") if kinds == (int,) else ""))
    low = key.rules.get("low")
    high = key.rules.get("high", 2**32 - 2)
    if isinstance(low, int) and raw > high:
        raise ValueError(tr("{raw} is out of range; the most is {high}", raw=raw, high=high))
    if isinstance(low, int) and not low <= raw < 2**32 - 1:
        raise ValueError(tr("{raw} is out of range; the least is {low}", raw=raw, low=low))
    return raw


def _text(key: Key, raw: Any) -> str:  # noqa: ANN401
    if not isinstance(raw, str):
        raise ValueError(tr("must be a text in quotes"))
    allowed = key.rules.get("one_of")
    if allowed and raw not in allowed:
        raise ValueError(tr("{raw!r} is not one of {allowed}", raw=raw, allowed=", ".join(allowed)))
    if key.rules.get("name") and (not raw or "/" in raw or raw in (".", "..")):
        raise ValueError(tr("{raw!r} must be the plain name of a file in vendor_dir", raw=raw))
    if key.rules.get("age") and raw:
        age_seconds(raw)
    if key.rules.get("size") and raw and not _SIZE.fullmatch(raw):
        raise ValueError(tr("{raw!r} is not a size such as 512m or 2g", raw=raw))
    if key.rules.get("container_path"):
        _require_container_path(raw)
    if key.rules.get("url_path") and raw:
        require_url_path(raw)
    if key.rules.get("url") and raw:
        _require_url(raw)
    return raw


def _require_inside(item: str) -> None:
    if not item or item.startswith("/") or {"", ".", ".."} & set(item.rstrip("/").split("/")):
        raise ValueError(tr("{item!r} must be a directory below the version, such as system/user/cache", item=item))


def _require_container_path(text: str) -> None:
    if not text.startswith("/") or text == "/" or ".." in text.split("/"):
        raise ValueError(tr("{text_!r} must be an absolute path in the container, and not /", text_=text))


def _require_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right or parts.path not in ("", "/") or parts.query or parts.username:
        raise ValueError(tr("{text_!r} must be http:// or https://, a host and perhaps a port", text_=text))


def to_plain(settings: Settings) -> dict[str, Any]:
    """Give the settings as JSON or TOML can hold them; an absent path is an empty text."""
    plain: dict[str, Any] = {}
    for name in KEYS:
        value = getattr(settings, name)
        plain[name] = str(value or "") if isinstance(value, Path | None) else value
        if isinstance(value, tuple):
            plain[name] = [item.plain() if isinstance(item, PageCheck) else item for item in value]
    return plain


def from_plain(plain: dict[str, Any]) -> Settings:
    """Give the settings that to_plain() took apart."""
    return Settings(**{name: read_value(KEYS[name], value) for name, value in plain.items() if name in KEYS})
