"""The header: host, live version, disk, the run that goes on, and what needs the operator's attention."""

from __future__ import annotations

import textwrap
import time

from textual.content import Content

from govma_console import formats
from govma_console.tui.disk_use import DiskUse
from govma_console.tui.panes.steady_text import SteadyText
from govma_console.tui.site_state import EMPTY, Snapshot
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_NOTICE_LINES = 3
_MOST_NOTICE_LINES = 6


class SiteHeader(SteadyText):
    """Two lines, and one more for each notice."""

    snapshot = EMPTY
    use: DiskUse | None = None
    running = ""

    def show(self, snapshot: Snapshot, use: DiskUse | None, running: str) -> None:
        """Show this state; `running` describes the run that goes on ('' for none)."""
        self.snapshot, self.use, self.running = snapshot, use, running
        self.on_resize()

    def on_resize(self) -> None:
        """Fit the lines to the width."""
        lines = self._lines()
        # Set here: a height that the layout works out may belong to an earlier text.
        self.styles.height = len(lines)
        self.update(Content("\n").join(_fitted(*ends, self.size.width) for ends in lines), layout=False)

    def _lines(self) -> list[tuple[Content, Content]]:
        """Return what stands at the left and at the right end of each line."""
        lines = [(self._live(), self._age()), (self._disk(), self._what_runs())]
        use_problem = clean_line(self.use.problem) if self.use else ""
        notices = [("⏸ ", self.snapshot.hold)]
        notices += [("⚠ ", text) for text in (self.snapshot.read_only, *self.snapshot.problems, use_problem)]
        for mark, text in notices:
            one_line, width = " ".join(text.split()), max(22, self.size.width)
            wrapped = textwrap.wrap(one_line, width, initial_indent=mark, subsequent_indent="  ")
            lines += [(Content.styled(line, "bold $text-warning"), Content("")) for line in wrapped[:_NOTICE_LINES]]
        return lines[: 2 + _MOST_NOTICE_LINES]

    def _live(self) -> Content:
        now = self.snapshot
        name = now.pointer.version or now.pointer.target or ("nothing" if now.at else "…")
        manifest = now.current.manifest if now.current else None
        return Content.assemble(
            (now.host.partition(".")[0][:16], "bold $text-primary"),
            tr(" current-version → "),
            # A link may lead anywhere.
            (clean_line(name), "bold $text-success" if now.pointer.version else "bold $text-error"),
            f" {manifest.commit[:9]}" if manifest else "",
            (f" {manifest.subject}" if manifest else "", "$muted"),
        )

    def _age(self) -> Content:
        now = self.snapshot
        lived = now.promotions[-1] if now.promotions and now.promotions[-1].version == now.pointer.version else None
        if lived is None and now.promotions and now.current:
            # The last promotion is of another version: this one was put live by hand, at an unknown time.
            return Content.styled(tr("set by hand"), "$text-warning")
        since = lived.at if lived else (now.current.epoch if now.current else 0.0)
        return Content(formats.ago(since, time.time()) if since else "")

    def _disk(self) -> Content:
        use = self.use
        if use is None or not use.capacity:
            return Content.styled(tr("Disk …"), "$muted")
        share = (use.capacity - use.free) / use.capacity
        cells = 10 if self.size.width < 100 else 20
        full = min(cells, round(share * cells))
        colour = "$text-error" if share > 0.95 else "$text-warning" if share > 0.85 else "$text-primary"
        return Content.assemble(
            tr("Disk "),
            ("█" * full, colour),
            ("░" * (cells - full), "$muted"),
            tr(" {share:.0%} used, {free} free", share=share, free=formats.size(use.free)),
            (tr("; versions {real}", real=formats.size(use.real)) if use.real else "", "$muted"),
            (tr(", links save {saved}", saved=formats.size(use.saved)) if use.saved else "", "$muted"),
        )

    def _what_runs(self) -> Content:
        if self.running:
            return Content.styled(f"● {self.running}", "bold $text-accent")
        last = next(iter(self.snapshot.runs), None)
        if last is not None and last.state in ("failed", "interrupted"):
            when = formats.ago(last.finished or last.created, time.time())
            sentence = tr(
                "last: {operation} {state}, {when}", operation=last.operation, state=tr(last.state), when=when
            )
            return Content.styled(sentence, "bold $text-error")
        # A user who may not read the runs cannot know whether one goes on.
        return Content.styled(tr("idle") if self.snapshot.at and not self.snapshot.unread else "", "$muted")


def _fitted(left: Content, right: Content, width: int) -> Content:
    """Return a line with texts at its left and at its right end; the left one is cut where both do not fit."""
    end = right.cell_length
    start = left.truncate(max(0, width - end - bool(end)), ellipsis=True)
    return Content.assemble(start, " " * max(0, width - start.cell_length - end), right)
