"""Masking: what stands in the CMS's env file is replaced by *** wherever a program prints it or an error quotes it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from govma_core.errors import UnsafeTreeError
from govma_core.fs.permissions import open_file

MASKED = "***"

_SHORTEST = 6
SECRET = re.compile(r"pass|pwd|secret|token|key|salt|cred|auth|private|dsn|sign", re.IGNORECASE)
"""Names that speak of a secret."""

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][\w.]*)\s*[=:]\s*(.*?)\s*")
_IN_URL = re.compile(r"://[^/:@\s]*:([^@\s]+)@")
"""The password in an address, which programs print alone."""
_PLAIN = re.compile(r"[^\W\d_]+|\d{1,8}")
"""A word, or a small number: alone it tells nothing, and logs are full of them."""
_COMMON = frozenset({"127.0.0.1", "0.0.0.0", "utf-8", "utf8mb4", "us-ascii", "text/html", "localhost:3306"})  # noqa: S104
_MOST = 1 << 20


class Mask:
    """Replaces each of the values by ***."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        # The longest first: one may be a part of another.
        self._values = sorted(set(values), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._values)))

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        # Looked for one by one: many times faster than the pattern, which has something to do once in a long while.
        return self._pattern.sub(MASKED, text) if any(value in text for value in self._values) else text

    def also(self, environment: Iterable[str]) -> Mask:
        """Return a mask that also replaces the secrets of an environment (`NAME=value`), by their names."""
        pairs = (entry.partition("=") for entry in environment)
        secrets = (value for name, _, value in pairs if SECRET.search(name) and len(value) >= _SHORTEST)
        return Mask([*self._values, *secrets])

    def lines(self, lines: Sequence[str]) -> Sequence[str]:
        """Return many lines without them."""
        if not self._values:
            return lines
        block = "\n".join(lines)
        masked = self(block)
        return lines if masked is block else masked.split("\n")


def mask_of(env_file: Path, public: Collection[str] = ()) -> Mask:
    """Return the mask of what an env file holds; nothing is masked when it cannot be read.

    Left alone are values shorter than 6 characters, those that are a word or a small number under a name that does not
    speak of a secret, and those that are part of what is `public` under such a name.
    """
    try:
        text = _text(env_file)
    except OSError:
        return Mask()
    return Mask(value for secret, value in _values(text) if secret or not any(value in known for known in public))


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


def _values(text: str) -> list[tuple[bool, str]]:
    """Return what is to be masked, each with whether its name speaks of a secret."""
    found = []
    name = ""
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        # A line that assigns nothing belongs to a value of several lines, such as a key.
        name, value = (match[1], match[2]) if match and not line.startswith(" ") else (name, line.strip())
        if value.startswith("#") and not SECRET.search(name):
            continue
        quoted = re.match(r"""(["'])(.*)\1""", value)
        forms = {value, value.strip("\"'"), value.partition(" #")[0].strip(" \"'")}
        if quoted:
            forms |= {quoted[2], re.sub(r"\\(.)", r"\1", quoted[2])}
        secret = bool(SECRET.search(name))
        found += [(secret, form) for form in forms if _telling(name, form)]
        found += [(True, each) for form in forms for each in _IN_URL.findall(form) if len(each) >= _SHORTEST]
    return found


def _telling(name: str, value: str) -> bool:
    if len(value) < _SHORTEST:
        return False
    return bool(SECRET.search(name)) or not (_PLAIN.fullmatch(value) or value in _COMMON)
