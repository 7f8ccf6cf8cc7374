"""Writes the table of all settings into the README of each language, between its two marks (`make docs`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_BEGIN, _END = "<!-- settings: begin -->", "<!-- settings: end -->"
READMES = {"en": _ROOT / "README.md", "pt_BR": _ROOT / "README.pt-BR.md"}
_HEADINGS = {
    "en": "| setting | environment | default | meaning |",
    "pt_BR": "| configuração | ambiente | padrão | significado |",
}


def table(language: str) -> str:
    """Give the table in the language that this process speaks."""
    from govma_core.settings.model import KEYS

    rows = [_HEADINGS[language], "| --- | --- | --- | --- |"]
    for key in KEYS.values():
        meaning = key.doc.replace("|", "\\|")
        variable = f"`{key.env}`" if key.env else ""
        rows.append(f"| `{key.written}` | {variable} | {_shown(key.default)} | {meaning} |")
    return "\n".join(rows)


def _shown(value: Any) -> str:  # noqa: ANN401 - whatever a default may be
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`" if value not in (None, "") else ""


def written(text: str, rows: str) -> str:
    """Give a README with the table in its place."""
    before, _, rest = text.partition(_BEGIN)
    return f"{before}{_BEGIN}\n{rows}\n{_END}{rest.partition(_END)[2]}"


def made(language: str) -> str:
    """Give the table as a process that speaks the language makes it: texts are translated when they are imported."""
    line = [sys.executable, "-m", "scripts.settings_table", language]
    environment = {**os.environ, "GOVMA_SPOKEN_LANGUAGE": language}
    return subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Print the table of a language, or without one bring both READMEs up to date."""
    if sys.argv[1:]:
        print(table(sys.argv[1]))
        return
    for language, path in READMES.items():
        path.write_text(written(path.read_text(), made(language)))


if __name__ == "__main__":
    main()
