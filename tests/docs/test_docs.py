"""The README and the pages of docs/: the same in both languages, tables as they are, links that lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.doc_tables import FOLDERS, update_measurements, update_settings
from scripts.translations import read
from tests.support.command import environment
from tests.support.engine import REPOSITORY
from tests.support.readme import READMES, commands, pages

LANGUAGES = sorted(READMES)
ALL_PAGES = sorted({*pages("en"), *pages("pt_BR"), *REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")})
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
BLOCK = re.compile(r"(<!-- run: \w+ -->\n)?^```\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:apt-get|curl|govma-console|ln|make|pip|pipx|python3|rm|systemctl) ")
NOT_RUN = {
    # This suite, and those of tests/services, which have containers.
    "make test",
    "govma-console services",
    "govma-console services up",
    "govma-console services up SERVICE",
}
FOLLOWER = Path(__file__).with_name("test_readme.py")
FENCED = re.compile(r"^```\n(.*?)^```", re.DOTALL | re.MULTILINE)


def _name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("readme", READMES.values(), ids=_name)
def test_the_readme_is_short(readme: Path) -> None:
    """Guards what a newcomer reads: the rest has pages of its own."""
    assert len(readme.read_text().splitlines()) <= 200


def test_every_page_exists_in_all_languages() -> None:
    first, *others = ([page.name for page in pages(language)[1:]] for language in LANGUAGES)
    assert len(first) >= 10
    for other in others:
        assert other == first


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readme_leads_to_every_page(language: str) -> None:
    readme, *rest = pages(language)
    targets = {(readme.parent / link).resolve() for link, _ in LINK.findall(readme.read_text())}
    assert [_name(page) for page in rest if page not in targets] == []


def test_the_commands_are_the_same_in_all_languages() -> None:
    first, *others = (commands(language) for language in LANGUAGES)
    for other in others:
        assert other == first


@pytest.mark.parametrize("page", [*pages("en"), *pages("pt_BR")], ids=_name)
def test_every_block_of_commands_is_run(page: Path) -> None:
    """Guards what an operator copies: a block of commands has a name by which test_readme.py runs it."""
    lines = "".join(block for mark, block in BLOCK.findall(page.read_text()) if not mark).splitlines()
    unknown = [line for line in lines if COMMAND.match(line) and line.partition("  #")[0].rstrip() not in NOT_RUN]
    assert unknown == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_commands_page_lists_every_command(language: str) -> None:
    line = [sys.executable, "-m", "govma_console.cli", "--help"]
    overview = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True).stdout
    names = set(re.findall(r"^    (\w+)(?:  |$)", overview, re.MULTILINE))
    page = (FOLDERS[language] / "commands.md").read_text()
    assert len(names) >= 25
    assert names == set(re.findall(r"^\| `(\w+)", page, re.MULTILINE))


def test_every_name_of_a_block_is_followed() -> None:
    followed = set(re.findall(r'(?:follow\(machine, |commands\(\)\[)"(\w+)"', FOLLOWER.read_text()))
    assert set(commands()) == followed


def test_a_page_has_the_same_shape_in_all_languages() -> None:
    """Guards against a page that changes in one language only."""
    first, *others = ([_shape(page) for page in pages(language)] for language in LANGUAGES)
    for other in others:
        assert other == first


def _shape(page: Path) -> tuple[int, int, int, int]:
    """Return how many headings, blocks, lines in blocks and rows of tables a page has."""
    text = page.read_text()
    blocks = FENCED.findall(text)
    prose = FENCED.sub("", text)
    return (
        len(HEADING.findall(prose)),
        len(blocks),
        sum(block.count("\n") for block in blocks),
        prose.count("\n|"),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tables_are_up_to_date(language: str) -> None:
    """Guards them: `make docs` writes them."""
    settings = (FOLDERS[language] / "settings.md").read_text()
    assert update_settings(settings, language) == settings
    speed = (FOLDERS[language] / "speed.md").read_text()
    assert update_measurements(speed) == speed


@pytest.mark.parametrize("page", ALL_PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    """Guards links to files, and to headings of this and of other pages."""
    broken = []
    for link, anchor in LINK.findall(page.read_text()):
        target = page.parent / link if link else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(f"{link}#{anchor}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    titles = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_symptoms_are_what_the_program_says(language: str) -> None:
    """Guards the table that an operator searches with a message at hand: `…` stands for anything."""
    rows = [row for row in (FOLDERS[language] / "trouble.md").read_text().splitlines() if row.startswith("| ")]
    symptoms = [symptom for row in rows for symptom in re.findall("`([^`]+)`", row.split(" | ")[0])]
    sentences: list[str] = []
    for message in read("pt_BR"):
        texts = message.id if language == "en" else message.string
        sentences += [texts] if isinstance(texts, str) else list(texts or ())
    assert len(symptoms) >= 10
    for symptom in symptoms:
        # What is put into a sentence stands in braces in it.
        pattern = re.compile(".+".join(map(re.escape, symptom.strip("… ").split("…"))))
        assert any(pattern.search(sentence) for sentence in sentences), symptom
