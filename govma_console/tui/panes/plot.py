"""Disk usage and build time over the last versions, as bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from govma_console import formats
from govma_console.version_row import VersionRow
from govma_core.text.language import tr

_EIGHTHS = " ▁▂▃▄▅▆▇█"


class Plot(Widget, can_focus=True):
    """Two charts, one above the other, the newest version on the right."""

    versions: reactive[tuple[VersionRow, ...]] = reactive(())
    """The versions to show, in any order."""

    def render(self) -> Content:
        """Return both charts."""
        width, height = self.size
        rows = sorted(self.versions, key=lambda row: row.name)[-max(1, width - 8) :]
        each = max(1, (height - 2) // 2)
        disk = [float(row.usage.exclusive) if row.usage else None for row in rows]
        took = [
            row.manifest.finished - row.manifest.started if row.manifest and row.manifest.finished else None
            for row in rows
        ]
        return Content("\n").join(
            [
                *_chart(tr("Disk that only this version uses"), disk, lambda v: formats.size(int(v)), each, width),
                *_chart(tr("Time that the deploy took"), took, formats.duration, each, width),
            ]
        )


def _chart(
    title: str, values: Sequence[float | None], label: Callable[[float], str], lines: int, width: int
) -> list[Content]:
    numbers = [value for value in values if value is not None]
    if not numbers:
        return [Content.styled(title, "bold"), Content.styled(tr("  not known yet"), "$muted")]
    top = max(numbers) or 1.0
    stretch = max(1, min(4, (width - 8) // max(1, len(values))))
    drawn = [Content.assemble((title, "bold"), (tr("  last {label}", label=label(numbers[-1])), "$muted"))]
    for line in range(lines, 0, -1):
        scale = label(top) if line == lines else "0" if line == 1 and lines > 1 else ""
        bars = "".join(_bar(value, top, line, lines) * max(1, stretch - 1) + " " * (stretch > 1) for value in values)
        drawn.append(Content.assemble((f"{scale:>6} ", "$muted"), (bars, "$text-primary")))
    return drawn


def _bar(value: float | None, top: float, line: int, lines: int) -> str:
    if value is None:
        return "·" if line == 1 else " "
    filled = value / top * lines * 8 - (line - 1) * 8
    return _EIGHTHS[max(0, min(8, round(filled)))] if filled > 0.5 or line > 1 else "▁"
