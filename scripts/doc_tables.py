"""Brings the tables of the documentation up to date, each between its two marks, in both languages (`make docs`).

`settings.md` lists all settings, in the page's language. `speed.md` quotes rows of the benchmarks' results: those that
it has already, by what they measure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent
_RESULTS = _ROOT / "tests" / "benchmarks" / "RESULTS.md"
FOLDERS = {"en": _ROOT / "docs", "pt_BR": _ROOT / "docs" / "pt-BR"}
"""The folder of the pages in each language."""
_HEADINGS = {
    "en": "| setting | environment | default | meaning |",
    "pt_BR": "| configuração | ambiente | padrão | significado |",
}


def update_settings(page: str, language: str) -> str:
    """Return the page with all settings in their place, in a language.

    A process of its own renders them: texts are translated when their modules are imported.
    """
    line = [sys.executable, "-m", "scripts.doc_tables", language]
    environment = {**os.environ, "GOVMA_SPOKEN_LANGUAGE": language}
    printed = subprocess.run(line, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    return _replace(page, "settings", printed.strip())


def update_measurements(page: str) -> str:
    """Return the page with the values that the benchmarks' results have for its rows.

    KeyError when a row is not in the results any more.
    """
    results = {}
    for row in _RESULTS.read_text().splitlines():
        if row.startswith("| "):
            _, what, _, _, value, goal, _ = _split(row)
            # At most nothing is nothing.
            results[what] = f"| {what} | {value} | {'0' if goal == '≤ 0' else goal} |"
    heading, rule, *rows = _extract(page, "measured").splitlines()
    return _replace(page, "measured", "\n".join([heading, rule, *(results[_split(row)[0]] for row in rows)]))


def _settings_table(language: str) -> str:
    """Return the table in the language that this process speaks."""
    from govma_core.settings.parse import KEYS

    rows = [_HEADINGS[language], "| --- | --- | --- | --- |"]
    for key in KEYS.values():
        meaning = key.doc.replace("|", "\\|")
        variable = f"`{key.env}`" if key.env else ""
        rows.append(f"| `{key.written}` | {variable} | {_format_default(key.default)} | {meaning} |")
    return "\n".join(rows)


def _format_default(value: Any) -> str:  # noqa: ANN401 - whatever a default may be
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{each}`" for each in value)
    return f"`{value}`" if value not in (None, "") else ""


def _split(row: str) -> list[str]:
    return row[2:-2].split(" | ")


def _extract(page: str, name: str) -> str:
    return page.partition(f"<!-- {name}: begin -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]


def _replace(page: str, name: str, table: str) -> str:
    return page.replace(_extract(page, name), table)


def main() -> None:
    """Print the settings in a language, or without one bring the pages of all languages up to date."""
    if sys.argv[1:]:
        print(_settings_table(sys.argv[1]))
        return
    for language, folder in FOLDERS.items():
        settings, speed = folder / "settings.md", folder / "speed.md"
        settings.write_text(update_settings(settings.read_text(), language))
        speed.write_text(update_measurements(speed.read_text()))


if __name__ == "__main__":
    main()
