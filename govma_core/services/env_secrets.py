"""Values that nobody may see: what stands in `.env` comes out as the name of its variable, wherever it turns up."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from govma_core.errors import GovmaError, PreflightError
from govma_core.masking import SECRET, Mask

_SHORTEST = 4
"""Characters: shorter values (a port's `80`, `on`) stand everywhere and tell nothing."""

_LONG = 8
"""From here on a value is taken out inside words, too; a shorter one where its name speaks of a secret."""

_WORDS = frozenset(("true", "false", "none", "null", "localhost", "0.0.0.0", "127.0.0.1"))  # noqa: S104 - no address
_CUT = "…"
"""Where a text was cut: a line that is too long, the words of an engine."""

_KEY = os.urandom(16)


def fingerprint(value: str) -> bytes:
    """Return what tells two values apart and tells nothing of either; good within this process only."""
    return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=_KEY, digest_size=16).digest()


class NameMask(Mask):
    """Takes values out of texts. `values` by name; those in `harmless` (names of services, of networks) may be shown.

    Values shorter than four characters and words such as `true` are not looked for. What `other` hides is hidden, too.
    """

    def __init__(
        self, values: Mapping[str, Collection[str]], harmless: Collection[str] = (), other: Mask | None = None
    ) -> None:
        super().__init__()
        self._given, self._other = (values, harmless), other or Mask()
        self._names: dict[str, str] = {}
        self._whole: dict[str, str] = {}
        for name, found in values.items():
            for value in found:
                if value and value not in harmless:
                    self._whole.setdefault(value, name)
                if len(value) >= _SHORTEST and value.lower() not in _WORDS and value not in harmless:
                    for form in _forms(value):
                        self._names.setdefault(form, name)
        ordered = sorted(self._names, key=len, reverse=True)
        pieces = (_piece(value, self._names[value]) for value in ordered)
        self._piece = re.compile("|".join(pieces)) if ordered else None

    def beside(self, other: Mask) -> NameMask:
        """Return a mask that takes out as well what another one does."""
        return NameMask(*self._given, other)

    def also(self, environment: Iterable[str]) -> NameMask:
        """Return a mask that also replaces the secrets of an environment (`NAME=value`), by their names."""
        return self.beside(self._other.also(environment))

    def __call__(self, text: str) -> str:
        """Return the text with `${NAME}` where a value of NAME stood."""
        text = self._other(text)
        if self._piece is None:
            return text
        masked = self._piece.sub(lambda found: f"${{{self._names[found.group()]}}}", text)
        if _CUT not in masked:
            return masked
        *cut, rest = masked.split(_CUT)
        return _CUT.join([*map(self._uncut, cut), rest])

    def _uncut(self, text: str) -> str:
        """Take out the beginning of a value at the end of a text that was cut there."""
        kept = text.rstrip(" \ufffd")
        begun = [(at, name) for form, name in self._names.items() if (at := _begins(form, kept)) >= 0]
        if not begun:
            return text
        at, name = min(begun)
        return f"{kept[:at]}${{{name}}}{text[len(kept) :]}"

    def whole(self, text: str) -> str:
        """Return `${NAME}` for a text that is a value of NAME and nothing else, however short it is."""
        return f"${{{self._whole[text]}}}" if text in self._whole else self(text)

    def image(self, name: str) -> str:
        """Return the name of an image, each of its parts masked as whole() does it."""
        return self(re.sub(r"[^/:@]+", lambda part: self.whole(part.group()), name))

    def lines(self, lines: Sequence[str]) -> list[str]:
        """Return each of the texts without values."""
        return [self(line) for line in lines]

    @contextmanager
    def over_errors(self) -> Iterator[None]:
        """Take values out of the sentence of every error of ours that leaves the block."""
        try:
            yield
        except GovmaError as error:
            error.args = (self(str(error)),)
            if isinstance(error, PreflightError):
                error.problems = tuple(self.lines(error.problems))
            raise


def _forms(value: str) -> set[str]:
    """Return the ways in which programs write a value: as it is, quoted, escaped."""
    escaped = {repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {value, value.replace("$", "$$"), shlex.quote(value), quote(value, safe=""), *escaped}


def _begins(value: str, text: str) -> int:
    """Tell from where on a text, to its end, is the beginning of a value; -1 when it is not."""
    at = text.find(value[:_SHORTEST], max(0, len(text) - len(value) + 1))
    while at >= 0 and not value.startswith(text[at:]):
        at = text.find(value[:_SHORTEST], at + 1)
    return at


def _piece(value: str, name: str) -> str:
    piece = re.escape(value)
    return piece if len(value) >= _LONG or SECRET.search(name) else rf"(?<![A-Za-z0-9]){piece}(?![A-Za-z0-9])"


_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\s*(?:=(?P<rest>.*))?$", re.DOTALL)
_ESCAPES = {r"\n": "\n", r"\t": "\t", r"\"": '"', r"\'": "'", r"\\": "\\", r"\$": "$"}


def read_env(path: Path) -> dict[str, set[str]]:
    """Return each name with what its value may be, by whichever rules a program reads the file; {} without a file.

    Programs differ in quotes, comments and escapes, and in what a value over several lines is: all readings are
    given, and each line of a value. OSError when the file is there and cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    found: dict[str, set[str]] = {}
    name, quote, held = "", "", ""
    for line in text.splitlines():
        if quote:
            held += f"\n{line}"
            found[name].update(_readings(line))
            if line.rstrip().endswith(quote):
                found[name].update(_readings(held))
                quote = ""
            continue
        match = None if line.lstrip().startswith("#") else _LINE.match(line)
        if match is None:
            continue
        name, rest = match["name"], (match["rest"] or "").strip()
        found.setdefault(name, set()).update(_readings(rest))
        if rest[:1] in ("'", '"') and rest.find(rest[0], 1) < 0:
            quote, held = rest[0], rest
    return {name: values - {""} for name, values in found.items()}


def set_value(path: Path, name: str) -> str:
    """Return the value of one name as compose reads it, '' when it is not set."""
    readings = read_env(path).get(name, set())
    plain = [value for value in readings if not set(value) & set("'\"")]
    return min(plain, key=len, default="")


def _readings(rest: str) -> set[str]:
    text = rest.strip()
    found = {text, re.split(r"\s+#", text, maxsplit=1)[0].strip()}
    for value in tuple(found):
        bare = value
        if value[:1] in ("'", '"'):
            end = value.find(value[0], 1)
            bare = value[1:end] if end > 0 else value[1:]
            found.add(bare)
        elif value[-1:] in ("'", '"'):
            found.add(value[:-1])
        found.add(re.sub(r"\\[nt\"'\\$]", lambda match: _ESCAPES[match.group()], bare))
        found.add(bare.replace("$$", "$"))
    return found
