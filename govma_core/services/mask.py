"""Values that nobody may see: what stands in `.env` comes out as the name of its variable, wherever it turns up."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import quote

from govma_core.errors import GovmaError, PreflightError
from govma_core.events import Event, LogLine, StageFinished
from govma_core.reporting import Reporter

_SHORTEST = 4
"""Characters: shorter values (a port's `80`, `on`) stand everywhere and tell nothing."""

_LONG = 8
"""From here on a value is taken out inside words, too."""

_WORDS = frozenset(("true", "false", "none", "null", "localhost", "0.0.0.0", "127.0.0.1"))  # noqa: S104 - no address
_KEY = os.urandom(16)


def fingerprint(value: str) -> bytes:
    """Give what tells two values apart and tells nothing of either; good within this process only."""
    return hashlib.blake2b(value.encode("utf-8", "surrogateescape"), key=_KEY, digest_size=16).digest()


class NameMask:
    """Takes values out of texts. `values` by name; those in `harmless` (names of services, of networks) may be shown.

    Values shorter than four characters and words such as `true` are not looked for.
    """

    def __init__(self, values: Mapping[str, Collection[str]], harmless: Collection[str] = ()) -> None:
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
        self._pattern = re.compile("|".join(map(_piece, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """Give the text with `${NAME}` where a value of NAME stood."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: f"${{{self._names[found.group()]}}}", text)

    def whole(self, text: str) -> str:
        """Give `${NAME}` for a text that is a value of NAME and nothing else, however short it is."""
        return f"${{{self._whole[text]}}}" if text in self._whole else self(text)

    def image(self, name: str) -> str:
        """Give the name of an image, each of its parts masked as whole() does it."""
        return self(re.sub(r"[^/:@]+", lambda part: self.whole(part.group()), name))

    def lines(self, texts: Sequence[str]) -> list[str]:
        """Give each of the texts without values."""
        return [self(text) for text in texts]

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
    """Give the ways in which programs write a value: as it is, quoted, escaped."""
    escaped = {repr(value)[1:-1], json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {value, value.replace("$", "$$"), shlex.quote(value), quote(value, safe=""), *escaped}


def _piece(value: str) -> str:
    piece = re.escape(value)
    return piece if len(value) >= _LONG else rf"(?<![A-Za-z0-9]){piece}(?![A-Za-z0-9])"


class MaskedReporter(Reporter):
    """Tells another reporter everything, without values."""

    def __init__(self, reporter: Reporter, mask: NameMask) -> None:
        super().__init__(self._pass_on, reporter.cancellation, reporter.flush, self._pass_output)
        self._reporter = reporter
        self.names = mask

    def _pass_on(self, event: Event) -> None:
        match event:
            case LogLine(at, level, text):
                event = LogLine(at, level, self.names(text))
            case StageFinished(at, stage, outcome, seconds, remark):
                event = StageFinished(at, stage, outcome, seconds, self.names(remark))
        self._reporter.emit(event)

    def _pass_output(self, at: float, lines: Sequence[str]) -> None:
        self._reporter.output(*self.names.lines(lines))
