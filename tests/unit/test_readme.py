"""The READMEs: the same commands in both languages, the settings as they are, links that lead somewhere."""

from __future__ import annotations

import re

import pytest

from scripts.readme_tables import READMES as TABLES
from scripts.readme_tables import made, quoted, written
from tests.support.engine import REPOSITORY
from tests.support.readme import READMES, commands

LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
FENCED = re.compile(r"```\n(.*?)```", re.DOTALL)


def test_the_commands_are_the_same_in_all_languages() -> None:
    first, *others = (commands(readme) for readme in READMES)
    assert set(first) == {"demo", "install", "first", "service"}
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
