"""The commands of the READMEs, as they are printed."""

from __future__ import annotations

import re

from tests.support.engine import REPOSITORY

READMES = ("README.md", "README.pt-BR.md")
_BLOCK = re.compile(r"<!-- run: (\w+) -->\n```\n(.*?)```", re.DOTALL)


def commands(readme: str = "README.md") -> dict[str, list[str]]:
    """Return the commands of each marked block, by its name, without their comments."""
    text = (REPOSITORY / readme).read_text()
    return {
        name: [line.partition("  #")[0].rstrip() for line in block.splitlines() if line.strip()]
        for name, block in _BLOCK.findall(text)
    }
