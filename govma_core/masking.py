"""Masking: secrets are taken out of all that a program prints, and of what an error quotes.

What stands in the CMS's env file comes out as ***; what stands in `.env` of the containers as the name of its variable
(see services/env_secrets).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from govma_core.errors import GovmaError, PreflightError, UnsafeTreeError
from govma_core.fs.permissions import open_file
from govma_core.text.secret_names import SECRET

MASKED = "***"

SHORTEST = 6
"""Characters: shorter values are not masked, as they are part of much else."""

_TELLING = 4
"""Characters of a beginning that are looked for where a text was cut."""

_CUT = "…"
"""Where a text was cut: a line that is too long, the words of an engine."""

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*[=:]\s*(.*?)\s*")
_IN_URL = re.compile(r"://[^/:@\s]*:([^@\s]+)@")
"""The password in an address, which programs print alone."""
_PLAIN = re.compile(r"[^\W\d_]+|\d{1,8}")
"""A word, or a small number: alone it is no secret, and logs are full of them."""
_COMMON = frozenset({"127.0.0.1", "0.0.0.0", "utf-8", "utf8mb4", "us-ascii", "text/html", "localhost:3306"})  # noqa: S104
_MOST = 1 << 20


class Mask:
    """Takes secrets out of texts: each is replaced by its label, *** for most of them.

    `values` come out as ***, the keys of `labels` as what they map to; those in `alone` only where they are not a part
    of a word. `whole` are the labels of texts that are secrets only where nothing else stands beside them.
    """

    def __init__(
        self,
        values: Iterable[str] = (),
        *,
        labels: Mapping[str, str] | None = None,
        alone: Collection[str] = (),
        whole: Mapping[str, str] | None = None,
    ) -> None:
        self._labels = dict.fromkeys(values, MASKED) | dict(labels or {})
        self._alone, self._whole = frozenset(alone), dict(whole or {})
        # The longest first: one may be a part of another.
        self._values = sorted(self._labels, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(self._piece, self._values)))

    def _piece(self, value: str) -> str:
        escaped = re.escape(value)
        return rf"(?<![A-Za-z0-9]){escaped}(?![A-Za-z0-9])" if value in self._alone else escaped

    def __call__(self, text: str) -> str:
        """Return the text without them; also without the beginning of one where the text was cut."""
        # A cut one first: another one may be its beginning, and would leave what follows.
        if _CUT in text and self._values:
            *pieces, rest = text.split(_CUT)
            text = _CUT.join([*map(self._without_beginning, pieces), rest])
        # Looked for one by one: many times faster than the pattern, which has something to do once in a long while.
        if any(value in text for value in self._values):
            text = self._pattern.sub(lambda match: self._labels[match.group()], text)
        return text

    def _without_beginning(self, text: str) -> str:
        """Take out the beginning of a value at the end of a text that was cut there."""
        end = text.rstrip(" \ufffd")
        beginnings = [(at, value) for value in self._values if _CUT not in value and (at := _begins(value, end)) >= 0]
        if not beginnings:
            return text
        at, value = min(beginnings)
        for whole in self._values:
            # One that reaches into it would be without its end, and not be found any more.
            start = end.rfind(whole, 0, at + len(whole) - 1)
            if 0 <= start < at < start + len(whole):
                at = start
        return f"{end[:at]}{self._labels[value]}{text[len(end) :]}"

    def also(self, environment: Iterable[str]) -> Mask:
        """Return a mask that also replaces the secrets of an environment (`NAME=value`), by their names."""
        pairs = (entry.partition("=") for entry in environment)
        return self.beside(Mask(value for name, _, value in pairs if SECRET.search(name) and len(value) >= SHORTEST))

    def beside(self, other: Mask) -> Mask:
        """Return a mask that takes out as well what another one does; where both know a value the other's label."""
        anywhere = (self._labels.keys() - self._alone) | (other._labels.keys() - other._alone)
        return Mask(
            labels=self._labels | other._labels,
            alone=(self._alone | other._alone) - anywhere,
            whole=self._whole | other._whole,
        )

    def whole(self, text: str) -> str:
        """Return the label of a text that is a secret and nothing else, however short it is."""
        return self._whole[text] if text in self._whole else self(text)

    def image(self, name: str) -> str:
        """Return the name of an image, each of its parts masked as whole() does it."""
        return self(re.sub(r"[^/:@]+", lambda part: self.whole(part.group()), name))

    def lines(self, lines: Sequence[str]) -> Sequence[str]:
        """Return many lines without them."""
        if not self._values:
            return lines
        block = "\n".join(lines)
        masked = self(block)
        return lines if masked == block else masked.split("\n")

    @contextmanager
    def over_errors(self) -> Iterator[None]:
        """Take secrets out of the sentence of every error of ours that leaves the block."""
        try:
            yield
        except GovmaError as error:
            error.args = (self(str(error)),)
            if isinstance(error, PreflightError):
                error.problems = tuple(map(self, error.problems))
            raise


def _begins(value: str, text: str) -> int:
    """Tell from where on a text, to its end, is the beginning of a value; -1 when it is not."""
    start = value[:_TELLING]
    at = text.find(start, max(0, len(text) - len(value) + 1))
    while at >= 0 and not value.startswith(text[at:]):
        at = text.find(start, at + 1)
    return at


def mask_of(env_file: Path, public: Collection[str] = ()) -> Mask:
    """Return the mask of what an env file holds; nothing is masked when it cannot be read.

    Left alone are values shorter than 6 characters, those that are a word or a small number under a name that does not
    speak of a secret, and those that are part of what is `public` under such a name.
    """
    try:
        text = _text(env_file)
    except OSError:
        return Mask()
    return Mask(value for secret, value in _values(text) if secret or not any(value in path for path in public))


def _text(env_file: Path) -> str:
    try:
        fd = open_file(env_file)[0]
    except UnsafeTreeError:
        # A link is not installed, but what programs read by way of it must not be in a log either.
        fd = os.open(env_file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read(_MOST).decode("utf-8", "replace")
    finally:
        os.close(fd)


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    """Yield each value with its name; a line within quotes by both readings, as the last one of a key ends in `=`."""
    name = owner = quote = ""
    for line in text.splitlines():
        was_quoted = bool(quote)
        if quote:
            yield owner, line.strip()
            quote = "" if quote in line else quote
        match = _LINE.fullmatch(line)
        # A line that assigns nothing belongs to a value of several lines, such as a key.
        name, value = (match[1], match[2]) if match else (name, line.strip())
        if match and not was_quoted and value[:1] in ("'", '"') and value.count(value[0]) == 1:
            owner, quote = name, value[0]
        yield name, value


def _values(text: str) -> list[tuple[bool, str]]:
    """Return what is to be masked, each with whether its name speaks of a secret."""
    values = []
    for name, value in _assignments(text):
        if value.startswith("#") and not SECRET.search(name):
            continue
        quoted = re.match(r"""(["'])(.*)\1""", value)
        forms = {value.strip("\"'"), value.partition(" #")[0].strip(" \"'")}
        if quoted:
            forms |= {quoted[2], re.sub(r"\\(.)", r"\1", quoted[2])}
        secret = bool(SECRET.search(name))
        values += [(secret, form) for form in forms if _is_telling(name, form)]
        values += [(True, each) for form in forms for each in _IN_URL.findall(form) if len(each) >= SHORTEST]
    return values


def _is_telling(name: str, value: str) -> bool:
    if len(value) < SHORTEST:
        return False
    return bool(SECRET.search(name)) or not (_PLAIN.fullmatch(value) or value in _COMMON)
