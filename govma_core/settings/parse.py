"""The settings as keys: what the table of Settings says of each, for those who read, write and explain it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.settings.build_steps import BuildStep, read_build_step
from govma_core.settings.model import Settings
from govma_core.settings.validate import PageCheck, read_page_check
from govma_core.text.language import tr


@dataclass(frozen=True, slots=True)
class Key:
    """One setting as the table of Settings describes it."""

    name: str
    default: Any
    doc: str
    env: str | None
    kind: str
    rules: dict[str, Any]
    check: Callable[[str], object] | None
    """What the text, or each text of a list, has to be or ValueError."""

    @property
    def table(self) -> str:
        """Return the table of the file in which it stands, '' for the top."""
        return str(self.rules.get("table", ""))

    @property
    def written(self) -> str:
        """Return the name it has in the file, with its table before a dot."""
        return f"{self.table}.{self.name.removeprefix(f'{self.table}_')}" if self.table else self.name


def _keys() -> dict[str, Key]:
    keys = {}
    for field in dataclasses.fields(Settings):
        rules = dict(field.metadata)
        doc, env, check = rules.pop("doc"), rules.pop("env"), rules.pop("check", None)
        keys[field.name] = Key(field.name, field.default, doc, env, str(field.type), rules, check)
    return keys


KEYS: dict[str, Key] = _keys()


_MOST = 2**32 - 2
"""The highest id of a user or a group that there can be."""


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
            if raw and raw == key.rules.get("word"):
                return (raw,)
            if not isinstance(raw, list) or not all(isinstance(item, str) for item in raw):
                word = key.rules.get("word")
                also = tr(", or {word}", word=f'"{word}"') if word else ""
                raise ValueError(tr('must be a list of texts, such as ["one", "two"]') + also)
            if key.check:
                for item in raw:
                    key.check(item)
            return tuple(raw)
        case "tuple[PageCheck, ...]":
            if not isinstance(raw, list):
                raise ValueError(tr('must be a list of tables, such as [{path = "/", status = 200}]'))
            return tuple(read_page_check(item) for item in raw)
        case "tuple[BuildStep, ...]":
            if not isinstance(raw, list):
                raise ValueError(tr("must be tables: [[build.steps]]"))
            return tuple(read_build_step(item) for item in raw)
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
    if isinstance(raw, bool) or not isinstance(raw, kinds):
        whole = tr("{raw!r} is not a whole number", raw=raw)
        raise ValueError(whole if kinds == (int,) else tr("{raw!r} is not a number", raw=raw))
    low, high = key.rules.get("low", 0), key.rules.get("high", _MOST)
    if raw > high:
        raise ValueError(tr("{raw} is out of range; the most is {high}", raw=raw, high=high))
    # Not `raw < low`: TOML has a nan.
    if not raw >= low:
        raise ValueError(tr("{raw} is out of range; the least is {low}", raw=raw, low=low))
    return raw


def _text(key: Key, raw: Any) -> str:  # noqa: ANN401
    if not isinstance(raw, str):
        raise ValueError(tr("must be a text in quotes"))
    allowed = key.rules.get("one_of")
    if allowed and raw not in allowed:
        raise ValueError(tr("{raw!r} is not one of {allowed}", raw=raw, allowed=", ".join(filter(None, allowed))))
    # Where the default is an empty text, that stands for nothing, which is right as it is.
    if key.check and raw != key.default:
        key.check(raw)
    return raw


def to_plain(settings: Settings) -> dict[str, Any]:
    """Return the settings as JSON or TOML can hold them; an absent path is an empty text."""
    plain: dict[str, Any] = {}
    for name in KEYS:
        value = getattr(settings, name)
        plain[name] = str(value or "") if isinstance(value, Path | None) else value
        if isinstance(value, tuple):
            plain[name] = [item.plain() if isinstance(item, PageCheck | BuildStep) else item for item in value]
            if value == (KEYS[name].rules.get("word"),):
                plain[name] = value[0]
    return plain


def from_plain(plain: dict[str, Any]) -> Settings:
    """Return the settings that to_plain() took apart."""
    return Settings(**{name: read_value(KEYS[name], value) for name, value in plain.items() if name in KEYS})
