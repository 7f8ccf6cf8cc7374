"""The pages that an operator reads, README and docs/, in both languages, and the commands that they print."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.doc_tables import FOLDERS
from tests.support.engine import REPOSITORY

READMES = {"en": REPOSITORY / "README.md", "pt_BR": REPOSITORY / "README.pt-BR.md"}
_BLOCK = re.compile(r"<!-- run: (\w+) -->\n```\n(.*?)```", re.DOTALL)


def pages(language: str) -> list[Path]:
    """Return the README and the pages of docs/ in a language; ARCHITECTURE.md is for developers, in English only."""
    return [READMES[language], *sorted(page for page in FOLDERS[language].glob("*.md") if page.stem.islower())]


def commands(language: str = "en") -> dict[str, list[str]]:
    """Return the commands of each marked block on the pages of a language, by its name, without their comments.

    A name that two blocks have has the commands of both.
    """
    blocks: dict[str, list[str]] = {}
    for page in pages(language):
        for name, block in _BLOCK.findall(page.read_text()):
            lines = [line.partition("  #")[0].rstrip() for line in block.splitlines() if line.strip()]
            blocks.setdefault(name, []).extend(lines)
    return blocks
