"""The language of everything that a person reads: English, or a translation by gettext where there is one.

English is the source. `tr` stands around each text in the code; `make translations` collects the texts, and
`govma_core/locale/<language>/LC_MESSAGES/govma-console.po` has their translations.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

_INHERITED = "GOVMA_SPOKEN_LANGUAGE"
"""Tells the processes that this one starts what the settings and the locale came to."""

SOURCE = "en"
DOMAIN = "govma-console"
DIRECTORY = Path(__file__).resolve().parent.parent / "locale"

_SWAPPED = str.maketrans(".,", ",.")


def tr(text: str, /, **values: object) -> str:
    """Return a text in the language in use, with values put where it has their names in braces (str.format).

    A text without values is given as it is: braces in it mean nothing.
    """
    translated = _translations.gettext(text) if text else text
    sentence = _formatter.vformat(translated, (), values) if values else translated
    return _finish(sentence) if _finish else sentence


def finish_with(finish: Callable[[str], str]) -> None:
    """Have a front end put its last touch to every text, such as the settings file that commands in it need."""
    global _finish
    _finish = finish


class _Localised(Formatter):
    """str.format with numbers as the language in use writes them."""

    def format_field(self, value: Any, format_spec: str) -> str:  # noqa: ANN401 - as in the standard library
        formatted = str(format(value, format_spec))
        return formatted.translate(_SWAPPED) if isinstance(value, int | float) and _language != SOURCE else formatted


def marked(text: str) -> str:
    """Return a text as it is, and have it translated: for what is stored or compared in English and shown by `tr`."""
    return text


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun in the language in use: `1 commit`, `12,345 lines`."""
    return f"{grouped(number)} {_translations.ngettext(one, many, number)}"


def grouped(number: int) -> str:
    """Return a whole number with its thousands apart."""
    return tr("{number:,}", number=number)


def decimal(text: str) -> str:
    """Return a number that was written with a point as the language in use writes it."""
    return text.translate(_SWAPPED) if _language != SOURCE else text


def date_format() -> str:
    """Return how a day is written, for strftime: 2026-11-20, in Portuguese 20/11/2026."""
    return "%d/%m/%Y" if _language != SOURCE else "%Y-%m-%d"


def language() -> str:
    """Return the language in use: `en` or the name of a translation, such as `pt_BR`."""
    return _language


def languages() -> tuple[str, ...]:
    """Return all languages there are."""
    return SOURCE, *sorted(catalog.parent.parent.name for catalog in DIRECTORY.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))


def use(language_code: str) -> None:
    """Speak a language from here on, and have the processes that this one starts speak it, too."""
    global _language, _translations
    os.environ[_INHERITED] = language_code
    _language, _translations = language_code, _of(language_code)


def wanted_by(environment: Mapping[str, str]) -> str:
    """Return the language that the locale of an environment asks for (locale(7)); English when there is none such.

    Any Portuguese gets the Brazilian one.
    """
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return known(locale) or SOURCE


def known(code: str) -> str:
    """Return the language that a name such as `pt`, `pt_BR` or `pt_BR.UTF-8` means; '' when there is none for it."""
    plain = code.partition(".")[0].partition("@")[0].replace("-", "_")
    there = languages()
    if plain in there:
        return plain
    return next(
        (available for available in there if plain and available.partition("_")[0] == plain.partition("_")[0]), ""
    )


def _of(name: str) -> gettext.NullTranslations:
    if name == SOURCE:
        return gettext.NullTranslations()
    return gettext.translation(DOMAIN, DIRECTORY, [name], fallback=True)


_formatter = _Localised()
_finish: Callable[[str], str] | None = None
_language = known(os.environ.get(_INHERITED, "")) or wanted_by(os.environ)
_translations = _of(_language)


SHOWN = (
    # States of a run and of its stages, levels of its log.
    marked("starting"),
    marked("waiting"),
    marked("running"),
    marked("ok"),
    marked("unchanged"),
    marked("failed"),
    marked("skipped"),
    marked("refused"),
    marked("busy"),
    marked("cancelled"),
    marked("interrupted"),
    marked("warning"),
    marked("error"),
    # States of a version, kinds of marks.
    marked("good"),
    marked("bad"),
    marked("unknown"),
    marked("incomplete"),
    marked("pinned"),
    marked("published"),
    # Where the assets of a version come from.
    marked("built"),
    # How a version went live, and what became of it.
    marked("deploy"),
    marked("promote"),
    marked("rollback"),
    marked("revert"),
    marked("reverted"),
    # What became of a file since its version was published.
    marked("changed"),
    marked("mode"),
    marked("owner"),
    marked("missing"),
    marked("added"),
    marked("held"),
    # Where a setting comes from, beside a file and the environment.
    marked("default"),
    # What the doctor looks at, beside settings, which keep their names.
    marked("user"),
    marked("paths"),
    marked("room"),
    marked("service"),
    # Why dedupe left a file alone.
    marked("being written"),
    marked("changed meanwhile"),
    marked("immutable"),
    marked("on another file system"),
    marked("sparse"),
    marked("special"),
    marked("unreadable"),
    marked("too many different contents"),
    marked("without a lease"),
    marked("without blocks of its own"),
    # Units of ages: minutes, hours, days, weeks, years. One character each.
    marked("m"),
    marked("h"),
    marked("d"),
    marked("w"),
    marked("y"),
)
