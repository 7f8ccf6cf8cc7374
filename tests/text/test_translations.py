"""Every text has its translation, and none stands in the code untranslated."""

from __future__ import annotations

import ast
import gettext
import io
import re
from collections import Counter
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.catalog import Message
from babel.messages.mofile import write_mo

from govma_core.text.language import DIRECTORY, DOMAIN, languages
from scripts.translations import read, template, translates

TRANSLATIONS = [name for name in languages() if name != "en"]
ROOT = Path(__file__).resolve().parent.parent.parent
SAYING = re.compile(
    r"(\w+Error|Refusal|Outcome|say|warn|notify|Finding|Difference|"
    r".*\.(info|warning|error|skip|note|notify|say|append|told_as))$"
)
"""Calls whose arguments people read."""

NOT_TOLD = {"RuntimeError", "AssertionError", "TypeError", "KeyError", "AttributeError"}
"""Errors of the program, which nobody but its developers sees."""

BY_WORD = {"LeftAloneError", "MasterUnusableError"}
"""What they say is among govma_core.text.language."""

COMMAND = re.compile(r"(docker|eval|systemctl| *curl|deploy failed:|id:) ")
"""Commands, and words that scripts look for: the same in every language."""

NAMED = re.compile(r"(a|an|the|no) [a-z]")
"""What a value begins with that is put into a sentence."""

JOINED = re.compile(r"(^| )(is|are|of|in|not|no|than|by|and|or|with|to|from|it)(?=[ :.,;]|$)")
"""Words that join the values of a sentence."""

APART = ("demo/", "server/openapi.py", "server/metrics.py")
"""The made-up site, and what is for programs: the API's description, the names of metrics."""


def texts(message: Message) -> list[str]:
    return [message.id] if isinstance(message.id, str) else list(message.id or ())


def translations(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def places(text: str) -> set[str]:
    """Return the names in braces, and printf's marks."""
    marks = re.findall(r"%[sd]", text)
    counted = {f"{mark} {number}" for mark, count in Counter(marks).items() for number in range(count)}
    try:
        return counted | {name for _, name, _, _ in Formatter().parse(text) if name}
    except ValueError:
        # Braces that mean nothing, in a text without values.
        return counted


def test_there_is_portuguese() -> None:
    assert TRANSLATIONS == ["pt_BR"]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_of_the_code_is_translated(language: str) -> None:
    """Guards completeness: run `make translations`, and fill in what is empty."""
    catalog = read(language)
    in_code = {tuple(texts(message)) for message in template() if message.id}
    in_catalog = {tuple(texts(message)) for message in catalog if message.id}
    assert sorted(in_code - in_catalog) == []
    assert sorted(in_catalog - in_code) == []
    assert [message.id for message in catalog if message.id and not all(translations(message))] == []
    assert [message.id for message in catalog if message.fuzzy and message.id] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_translations_fit_into_the_same_places(language: str) -> None:
    """Guards against a translation that breaks a sentence: unknown values, lost blanks at the ends."""
    wrong = []
    for message in read(language):
        if not message.id:
            continue
        source = texts(message)[-1]
        for text in translations(message):
            blanks = [len(text) - len(text.lstrip()), len(text) - len(text.rstrip())]
            source_blanks = [len(source) - len(source.lstrip()), len(source) - len(source.rstrip())]
            # A label that is filled up to a column is as long as the one it stands for.
            if not places(text) <= places(source) or (blanks != source_blanks and len(text) != len(source)):
                wrong.append((source, text))
    assert wrong == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_the_compiled_catalog_is_that_of_the_text(language: str) -> None:
    buffer = io.BytesIO()
    write_mo(buffer, read(language))
    buffer.seek(0)
    compiled = DIRECTORY / language / "LC_MESSAGES" / f"{DOMAIN}.mo"
    with compiled.open("rb") as file:
        compiled_catalog = gettext.GNUTranslations(file)
    assert vars(compiled_catalog)["_catalog"] == vars(gettext.GNUTranslations(buffer))["_catalog"]


def _is_prose(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        return False
    return len(re.findall(r"[A-Za-z]{2,}", text)) > 1 and " " in text.strip() and not COMMAND.match(text)


def _is_translated(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("tr", "counted")


def untranslated(source: str) -> list[int]:
    """Return the lines with a text that is told to people and stands outside of tr(), or a part of one: "a file"."""
    lines = []
    tree = ast.parse(source)
    inside = {part for node in ast.walk(tree) if _is_translated(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and node not in inside:
            constants = [part for part in ast.walk(node) if isinstance(part, ast.Constant) and part not in inside]
            lines += [part.lineno for part in constants if JOINED.search(str(part.value))]
        if isinstance(node, ast.Assign | ast.Return) and node.value is not None:
            branches = [node.value, *(inner for inner in ast.walk(node.value) if isinstance(inner, ast.IfExp))]
            parts = [part for each in branches for part in (getattr(each, "body", each), getattr(each, "orelse", each))]
            lines += [part.lineno for part in parts if isinstance(part, ast.Constant) and NAMED.match(str(part.value))]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if node.args and SAYING.match(name) and name not in NOT_TOLD | BY_WORD:
                arguments = node.args[1:] if translates(name) and isinstance(node.args[0], ast.Constant) else node.args
                lines += [argument.lineno for argument in arguments if _is_prose(argument)]
    return sorted(set(lines))


@pytest.mark.parametrize("package", ["govma_core", "govma_console"])
def test_no_text_stands_in_the_code_untranslated(package: str) -> None:
    places_in_code = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in (ROOT / package).rglob("*.py")
        if not any(part in str(path) for part in APART)
        for line in untranslated(path.read_text())
    }
    assert places_in_code == set()


def test_a_text_outside_of_tr_is_found() -> None:
    assert untranslated('raise UsageError(f"there is no {name} here")') == [1]
    assert untranslated('raise UsageError(tr("there is no {name} here", name=name))') == []
    assert untranslated('raise UsageError("there is no {name} here", name=name)') == []
    assert untranslated('raise ValueError("there is no such thing here")') == [1]
    assert untranslated('reporter.info("is done now")') == []
    assert untranslated('reporter.info(f"{number} is done now")') == [1]
    assert untranslated('said = f"{one} in {other}"') == [1]
    assert untranslated("""said = f"{many} {tr('of {one}', one=1)}\"""") == []
    assert untranslated('what = "a file" if plain else tr("a link")') == [1]
