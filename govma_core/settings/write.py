"""The settings file as it is written: every setting with what it means, commented out where it is the default."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from govma_core.settings.model import Settings
from govma_core.settings.parse import KEYS, to_plain
from govma_core.text.language import tr


def toml_value(value: Any) -> str:  # noqa: ANN401
    """Return a text, number, list or flat table as TOML (basic strings are JSON's, DEL aside)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml_value(item)}" for name, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def commented_file(chosen: Mapping[str, Any]) -> str:
    """Return a settings file that sets what is in `chosen` (plain values by key) and shows every other default."""
    defaults = to_plain(Settings())
    lines = [
        tr("# Settings of govma-console. A line that begins with '#' shows a default."),
        tr("# The environment variable named next to a setting wins over this file."),
    ]
    table = ""
    # What stands at the top comes before the first table: sorted() keeps the order otherwise.
    for name, key in sorted(KEYS.items(), key=lambda item: item[1].table != ""):
        if key.table != table:
            table = key.table
            lines += ["", f"[{table}]"]
        variable = f" (${key.env})" if key.env else ""
        value = chosen.get(name, defaults[name])
        lines += ["", f"# {key.doc}{variable}"]
        lines.append(f"{'' if name in chosen else '# '}{key.written.rpartition('.')[2]} = {toml_value(value)}")
    return "\n".join(lines) + "\n"
