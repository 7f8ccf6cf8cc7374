"""Collects the texts of the code into the catalog of each language, and compiles the catalogs (`make translations`).

Texts that are new get an empty translation, those that are gone are taken out; tests/text/test_translations.py fails
until each has one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from govma_core import errors
from govma_core.text.language import DIRECTORY, DOMAIN

_ROOT = Path(__file__).resolve().parent.parent
_SINCE = datetime(2026, 11, 20, tzinfo=UTC)
_CALLS = {"tr": 1, "marked": 1, "counted": 3}
"""What stands around texts, and how many arguments: of `counted` the second and third are the text and its plural."""


def template() -> Catalog:
    """Return all texts of the code, each with the files in which it stands."""
    found = Catalog(project=DOMAIN)
    for package in ("govma_core", "govma_console"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            for text in texts_in(path.read_text()):
                found.add(text, locations=[(str(path.relative_to(_ROOT)), 0)])
    return found


_ERRORS = {
    name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.GovmaError)
}
_REPORTER = re.compile(r".*reporter\.(info|warning|error)|remark\.(note|skip|warn)")


def translates(call: str) -> bool:
    """Tell whether what is called translates its first argument: tr() itself, an error of the core, a reporter."""
    return call in _CALLS or call in _ERRORS or _REPORTER.fullmatch(call) is not None


def texts_in(source: str) -> Iterator[str | tuple[str, str]]:
    """Yield the texts of a module, those with a plural as pairs; also from f-strings, which Babel does not read."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not translates(call := ast.unparse(node.func)):
            continue
        values = [each.value for each in node.args[: _CALLS.get(call, 1)] if isinstance(each, ast.Constant)]
        texts = [value for value in values if isinstance(value, str) and value]
        if call == "counted" and len(texts) == 2:
            yield texts[0], texts[1]
        elif texts:
            yield texts[0]


def read(language: str) -> Catalog:
    """Return the catalog of a language as it is written down."""
    with (DIRECTORY / language / "LC_MESSAGES" / f"{DOMAIN}.po").open("rb") as file:
        return read_po(file, locale=language)


def _head(catalog: Catalog, language: str) -> None:
    """Fill in the header. Its dates stay: a new one at each run would be a conflict in each merge."""
    catalog.project, catalog.version = DOMAIN, version(DOMAIN)
    catalog.header_comment = f"# Texts of {DOMAIN} in {language}. Under the same license as {DOMAIN}: see LICENSE."
    catalog.msgid_bugs_address = catalog.last_translator = DOMAIN
    catalog.language_team = language
    catalog.creation_date = catalog.revision_date = _SINCE


def main() -> None:
    """Bring all catalogs up to date."""
    texts = template()
    for path in sorted(DIRECTORY.glob(f"*/LC_MESSAGES/{DOMAIN}.po")):
        language = path.parent.parent.name
        catalog = read(language)
        catalog.update(texts, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        _head(catalog, language)
        with path.open("wb") as file:
            write_po(file, catalog, width=110, sort_output=True, omit_header=False, include_lineno=False)
        with path.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)
        missing = sum(1 for message in catalog if message.id and not message.string)
        print(f"{language}: {len(catalog)} texts, {missing} without a translation")


if __name__ == "__main__":
    main()
