"""The log viewer: draws the lines of a file that are in sight, whatever its length."""

from __future__ import annotations

import re
from typing import ClassVar

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from govma_console.formats import clock
from govma_console.tui.background import in_thread
from govma_console.tui.panes.log_file import Line, LogFile
from govma_core.text.language import tr

_STYLES = ("info", "warning", "error", "output", "stage", "good", "bad")
_LONGEST = 16 * 1024
Row = tuple[int, Line, str, bool]
"""The number of a line, the line, the part of its text that is in this row, and whether that is the first part."""


class LogView(ScrollView, can_focus=True):
    """Shows a LogFile. While it follows, the last line stays in sight; any way up pauses it, G or End follows again."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"log-view--{part}" for part in (*_STYLES, "time", "match", "cursor", "chosen", "blank")
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,b", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "top", show=False),
        Binding("end,G", "follow", show=False),
        Binding("left,h", "sideways(-8)", show=False),
        Binding("right", "sideways(8)", show=False),
    ]

    class Changed(Message):
        """The place in the log, or what is shown of it, changed."""

        def can_replace(self, message: Message) -> bool:
            """Coalesce: only the last one counts."""
            return isinstance(message, LogView.Changed)

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.file: LogFile | None = None
        self.following = True
        self.wrap = False
        self.timestamps = False
        self.pattern: re.Pattern[str] | None = None
        self.cursor = 0
        self.mark: int | None = None
        self._count_at_pause = 0
        self._widest = 0
        self._in_sight: list[Row] = []
        self._searching = False
        self._steps_ahead = 0
        """Matches to go on by, asked for while one was looked for."""

    @property
    def behind(self) -> int:
        """Return how many lines came since following stopped."""
        return 0 if self.following or self.file is None else self.file.count - self._count_at_pause

    @property
    def chosen(self) -> tuple[int, int]:
        """Return the first and last line that are selected (the cursor's own line when nothing else is)."""
        cursor = self.last if self.following else self.cursor
        return (cursor, cursor) if self.mark is None else (min(cursor, self.mark), max(cursor, self.mark))

    @property
    def last(self) -> int:
        """Return the number of the last line; 0 when there is none."""
        return max(0, self.file.count - 1) if self.file else 0

    def show(self, file: LogFile | None) -> None:
        """Show another file from its end."""
        self.file, self.mark, self.cursor, self._widest = file, None, 0, 0
        self.following, self._steps_ahead = True, 0
        self.grown()

    def grown(self) -> None:
        """Adapt to a file with more lines, or to another size of the view."""
        count = self.file.count if self.file else 0
        if self.following:
            self._count_at_pause = count
        height = self.scrollable_content_region.height
        extra = max(0, height - self._fitting_at_end(height)) if self.wrap else 0
        # As wide as the lines that were drawn: reading a million lines to place a scroll bar would take too long.
        size = Size(0 if self.wrap else self._widest, count + extra)
        if size != self.virtual_size:
            self.virtual_size = size
        if self.following:
            self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
        self.refresh()
        self.post_message(self.Changed())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Pause when the operator scrolls up, follow when the end is in sight again."""
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y and self.following:
            self.pause()
        elif new_value > old_value and new_value >= self.max_scroll_y and not self.following:
            self._come_to_end()

    def _come_to_end(self) -> None:
        if self.mark is None and self.cursor >= self.last:
            self.action_follow()

    def pause(self) -> None:
        """Stop following."""
        if self.following:
            self.following = False
            self.cursor = self.last
            self._count_at_pause = self.file.count if self.file else 0
            self.refresh()
            self.post_message(self.Changed())

    def go_to(self, line: int) -> None:
        """Put the cursor on a line and have it in sight; following stops."""
        self.pause()
        self.cursor = min(max(0, line), self.last)
        height = max(1, self.scrollable_content_region.height)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)
        elif self.cursor not in {number for number, *_ in self._rows()}:
            self.scroll_to(y=min(self.cursor, self.scroll_offset.y + 1), animate=False, force=True)
        self.refresh()
        self.post_message(self.Changed())

    def action_move(self, lines: int) -> None:
        """Move the cursor by lines."""
        self.go_to((self.last if self.following else self.cursor) + lines)

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.action_move(pages * max(1, self.scrollable_content_region.height - 1))

    def action_top(self) -> None:
        """Go to the first line."""
        self.go_to(0)

    def action_follow(self) -> None:
        """Go to the end, and stay there."""
        self.following, self.mark = True, None
        self.grown()

    def action_sideways(self, cells: int) -> None:
        """Scroll to the side."""
        self.scroll_to(x=max(0, self.scroll_x + cells), animate=False, force=True)

    def set_wrap(self, wrap: bool) -> None:
        """Break long lines, or let them run out of sight."""
        self.wrap = wrap
        self.scroll_to(x=0, animate=False, force=True)
        self.grown()

    def search(self, text: str) -> None:
        """Mark a text wherever it stands, and go to its next place; '' ends the search."""
        # As in other tools: small letters find both, a capital only itself.
        flags = re.IGNORECASE if text == text.lower() else 0
        self.pattern = re.compile(re.escape(text), flags) if text else None
        self.refresh()
        self._steps_ahead = 0
        if text:
            self._find(1, self.last if self.following else self.cursor)
        self.post_message(self.Changed())

    def find(self, step: int) -> None:
        """Go to the next match from the cursor (-1: the one before), as soon as no search goes on."""
        self._steps_ahead += step
        if self._steps_ahead and not self._searching:
            one = 1 if self._steps_ahead > 0 else -1
            self._steps_ahead -= one
            self._find(one, (self.last if self.following else self.cursor) + one)

    def _find(self, step: int, start: int) -> None:
        """Look for the pattern from a line on, then from the other end, in a thread."""
        file, pattern = self.file, self.pattern
        if file is None or pattern is None:
            return
        self._searching = True

        def work() -> int | None:
            for first in (start, 0 if step > 0 else file.count - 1):
                for batch in file.scan(first, step=step):
                    for number, line in batch:
                        if pattern.search(line.text):
                            return number
            return None

        def go_on(match: int | None, problem: str) -> None:
            self._searching = False
            if self.pattern is not pattern or self.file is not file:
                return
            if match is None:
                self._steps_ahead = 0
                self.notify(problem or tr("Not found."), severity="warning", markup=False)
                return
            self.go_to(match)
            self.find(0)

        in_thread(self, work, go_on)

    def select(self) -> None:
        """Begin a selection at the cursor, or end it."""
        self.pause()
        self.mark = self.cursor if self.mark is None else None
        self.refresh()
        self.post_message(self.Changed())

    def on_resize(self) -> None:
        """Keep the end in sight when following."""
        self.grown()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on a line; with shift, select up to it."""
        line = self._line_at(event.y)
        if line is not None:
            self.pause()
            if event.shift and self.mark is None:
                self.mark = self.cursor
            elif not event.shift:
                self.mark = None
            self.go_to(line)

    def _line_at(self, y: int) -> int | None:
        rows = self._rows()
        return rows[y][0] if y < len(rows) else None

    def _fitting_at_end(self, height: int) -> int:
        """Return how many of the last lines are in sight when they are wrapped."""
        if self.file is None:
            return height
        used = lines = 0
        for line in reversed(self.file.lines(self.file.count - height, self.file.count)):
            used += len(self._broken(line))
            if used > height:
                break
            lines += 1
        return max(1, lines) if used > height else height

    def _broken(self, line: Line) -> list[str]:
        if not self.wrap:
            return [line.text[:_LONGEST]]
        return chop_cells(line.text, max(8, self.scrollable_content_region.width - 9 * self.timestamps)) or [""]

    def _rows(self) -> list[Row]:
        """Return the rows in sight, from the end where the end is in sight."""
        if self.file is None:
            return []
        height = self.scrollable_content_region.height
        is_at_end = self.wrap and (self.following or self.scroll_offset.y >= self.max_scroll_y)
        first = max(0, self.file.count - height) if is_at_end else self.scroll_offset.y
        rows = [
            (number, line, part, at == 0)
            for number, line in enumerate(self.file.lines(first, first + height), first)
            for at, part in enumerate(self._broken(line))
        ]
        return rows[-height:] if is_at_end else rows[:height]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw lines."""
        self._in_sight = self._rows()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width = self.scrollable_content_region.width
        if y >= len(self._in_sight):
            return Strip.blank(width, self._style("blank"))
        number, line, part, is_first = self._in_sight[y]
        strip = self._strip(number, line, part, is_first)
        self._widest = max(self._widest, strip.cell_length)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, self._base(number, "blank"))

    def _base(self, number: int, part: str) -> Style:
        style = self._style(part)
        first, last = self.chosen
        if not self.following and first <= number <= last and (self.has_focus or self.mark is not None):
            return style + self._style("chosen" if number != self.cursor else "cursor")
        return style

    def _strip(self, number: int, line: Line, text: str, first: bool) -> Strip:
        style = self._base(number, line.style)
        segments = []
        if self.timestamps:
            stamp = clock(line.at) if first and line.at else ""
            segments.append(Segment(f"{stamp:9}", self._base(number, "time")))
        if self.pattern is None:
            segments.append(Segment(text, style))
        else:
            at, match_style = 0, self._style("match")
            for match in self.pattern.finditer(text):
                if match.end() > match.start():
                    segments.append(Segment(text[at : match.start()], style))
                    segments.append(Segment(match.group(), match_style))
                    at = match.end()
            segments.append(Segment(text[at:], style))
        return Strip(segments, sum(cell_len(segment.text) for segment in segments))

    def _style(self, part: str) -> Style:
        return self.get_component_rich_style(f"log-view--{part}")
