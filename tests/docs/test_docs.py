"""The READMEs: the same commands in both languages, the settings as they are, links that lead somewhere."""

from __future__ import annotations

import re

import pytest

from scripts.readme_tables import READMES as TABLES
from scripts.readme_tables import made, quoted, written
from scripts.translations import read
from tests.support.engine import REPOSITORY
from tests.support.readme import READMES, commands

HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
ANCHOR = re.compile(r"\]\(#([^)]+)\)")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FENCED = re.compile(r"```\n(.*?)```", re.DOTALL)


def test_the_commands_are_the_same_in_all_languages() -> None:
    first, *others = (commands(readme) for readme in READMES)
    assert set(first) == {"demo", "install", "first", "service", "upgrade", "away"}
    for other in others:
        assert other == first


@pytest.mark.parametrize("language", sorted(TABLES))
def test_the_tables_are_up_to_date(language: str) -> None:
    """Guards them: `make docs` writes them."""
    text = TABLES[language].read_text()
    assert written(text, "settings", made(language)) == text
    assert written(text, "measured", quoted(text)) == text


@pytest.mark.parametrize(
    "page", [*READMES, *sorted(f"docs/{path.name}" for path in (REPOSITORY / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    path = REPOSITORY / page
    broken = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("readme", READMES)
def test_the_line_of_contents_leads_to_headings(readme: str) -> None:
    text = (REPOSITORY / readme).read_text()
    # As GitHub makes anchors of headings.
    there = {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in HEADING.findall(text)}
    anchors = ANCHOR.findall(text)
    assert len(anchors) >= 10
    assert sorted(set(anchors) - there) == []


@pytest.mark.parametrize(
    ("readme", "title"), [(READMES[0], "When something goes wrong"), (READMES[1], "Quando algo dá errado")]
)
def test_the_symptoms_are_what_the_program_says(readme: str, title: str) -> None:
    """Guards the table that an operator searches with a message at hand: `…` stands for anything."""
    section = (REPOSITORY / readme).read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    seen = [row.split(" | ")[0] for row in section.splitlines() if row.startswith("| ")]
    symptoms = [quoted for cell in seen for quoted in re.findall("`([^`]+)`", cell)]
    told: list[str] = []
    for message in read("pt_BR"):
        texts = message.id if readme == READMES[0] else message.string
        told += [texts] if isinstance(texts, str) else list(texts or ())
    assert len(symptoms) >= 10
    for symptom in symptoms:
        # What is put into a sentence stands in braces in it.
        pattern = re.compile(".+".join(map(re.escape, symptom.strip("… ").split("…"))))
        assert any(pattern.search(text) for text in told), symptom
