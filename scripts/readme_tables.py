"""Brings the tables of the READMEs up to date, each between its two marks (`make docs`).

`settings` has all settings, in the README's language; `measured` quotes rows of the benchmarks' table: those that it
has already, by what they measure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_RESULTS = _ROOT / "tests" / "benchmarks" / "RESULTS.md"
READMES = {"en": _ROOT / "README.md", "pt_BR": _ROOT / "README.pt-BR.md"}
_HEADINGS = {
    "en": "| setting | environment | default | meaning |",
    "pt_BR": "| configuração | ambiente | padrão | significado |",
}


def table(language: str) -> str:
    """Return the table in the language that this process speaks."""
    from govma_core.settings.parse import KEYS

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


def quoted(text: str) -> str:
    """Return the table of what was measured, with the rows that a README has, as they are in the benchmarks' table.

    KeyError when one is not there any more.
    """
    there = {}
    for row in _RESULTS.read_text().splitlines():
        if row.startswith("| "):
            _, what, _, _, value, goal, _ = _cells(row)
            # At most nothing is nothing.
            there[what] = f"| {what} | {value} | {'0' if goal == '≤ 0' else goal} |"
    head, rule, *rows = _within(text, "measured").splitlines()
    return "\n".join([head, rule, *(there[_cells(row)[0]] for row in rows)])


def _cells(row: str) -> list[str]:
    return row[2:-2].split(" | ")


def written(text: str, name: str, rows: str) -> str:
    """Return a README with the table in its place."""
    return text.replace(_within(text, name), rows)


def _within(text: str, name: str) -> str:
    return text.partition(f"<!-- {name}: begin -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]


def made(language: str) -> str:
    """Return the table as a process that speaks the language makes it: texts are translated when they are imported."""
    line = [sys.executable, "-m", "scripts.readme_tables", language]
    environment = {**os.environ, "GOVMA_SPOKEN_LANGUAGE": language}
    return subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Print the settings in a language, or without one bring both READMEs up to date."""
    if sys.argv[1:]:
        print(table(sys.argv[1]))
        return
    for language, path in READMES.items():
        text = written(path.read_text(), "settings", made(language))
        path.write_text(written(text, "measured", quoted(text)))


if __name__ == "__main__":
    main()
