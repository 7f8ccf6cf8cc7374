"""Collects the texts of the code into the catalog of each language, and compiles the catalogs (`make translations`).

Texts that are new get an empty translation, those that are gone are taken out; tests/unit/test_translations.py fails
until each has one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from govma_core.language import DIRECTORY, DOMAIN

_ROOT = Path(__file__).resolve().parent.parent
_KEYWORDS = {"tr": None, "marked": None, "counted": (2, 3)}


def template() -> Catalog:
    """Give all texts of the code, each with the files in which it stands."""
    found = Catalog(project=DOMAIN)
    for package in ("govma_core", "govma_console"):
        for name, _, message, _, context in extract_from_dir(
            _ROOT / package, method_map=[("**.py", "python")], keywords=_KEYWORDS, comment_tags=()
        ):
            found.add(message, locations=[(f"{package}/{name}", 0)], context=context)
    return found


def read(language: str) -> Catalog:
    """Give the catalog of a language as it is written down."""
    with (DIRECTORY / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=language)


def main() -> None:
    """Bring all catalogs up to date."""
    texts = template()
    for path in sorted(DIRECTORY.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        language = path.parent.parent.name
        catalog = read(language)
        catalog.update(texts, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        with path.open("wb") as file:
            write_po(file, catalog, width=110, sort_output=True, omit_header=False, include_lineno=False)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)
        missing = sum(1 for message in catalog if message.id and not message.string)
        print(f"{language}: {len(catalog)} texts, {missing} without a translation")


if __name__ == "__main__":
    sys.exit(main())
