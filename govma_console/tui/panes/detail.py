"""The pane with the details of the selected version."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from govma_console import formats
from govma_console.tui.panes.steady_text import SteadyText
from govma_console.tui.plans import SwitchPlan
from govma_console.tui.site_state import EMPTY, Snapshot
from govma_console.version_row import VersionRow
from govma_core.disk.usage import VersionUsage
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr
from govma_core.versions.history import Span
from govma_core.versions.manifest import Manifest, StepOrigin

if TYPE_CHECKING:
    from govma_core.deploy.commits import Commit

_MOST_COMMITS = 12
_INDENT = 10


class Detail(VerticalScroll, can_focus=True):
    """The manifest of a version, its place in history, and what lies between it and the live one."""

    def compose(self) -> ComposeResult:
        """Make the text, which can be scrolled."""
        yield SteadyText(id="detail-text")

    def show(self, snapshot: Snapshot, row: VersionRow | None, plan: SwitchPlan | None) -> None:
        """Show a version; `plan` is None while it is compared with the live one."""
        self._arguments = snapshot, row, plan
        width = max(30, (self.scrollable_content_region.width or self.app.size.width) - 1)
        nothing = Content.styled(tr("No version is selected."), "$muted")
        content = _content(snapshot, row, plan, width) if row else nothing
        self.query_one("#detail-text", SteadyText).update(content)

    def on_resize(self) -> None:
        """Break the lines for the new width."""
        self.show(*self._arguments)

    _arguments: tuple[Snapshot, VersionRow | None, SwitchPlan | None] = (EMPTY, None, None)


def _content(snapshot: Snapshot, row: VersionRow, plan: SwitchPlan | None, width: int) -> Content:
    lines = [Content.assemble((row.name, "bold"), (tr("  ● live") if row.is_live else "", "bold $text-success"))]
    manifest = row.manifest
    if manifest:
        fields = [(tr("Commit"), f"{manifest.commit[:12]} {manifest.subject}")]
        fields.append((tr("Author"), f"{manifest.author}, {formats.moment(manifest.committed)}"))
    else:
        other = tr("another tool (no manifest): its commit is not known")
        fields = [(tr("Made by"), _unread() if row.unread else other)]
    fields.append((tr("State"), _state(row)))
    fields.append((tr("Size"), _unread() if row.unread and row.usage is None else _sizes(row.usage)))
    fields += [(tr("Live"), text) for text in _lived(snapshot, row)]
    lines += [part for name, text in fields for part in _field(name, text, width)]
    # What a rollback would undo comes before the details of the build.
    between = _between(row, plan)
    lines += [Content(""), *between, Content("")] if between else []
    lines += [part for name, text in _origin(snapshot, row) for part in _field(name, text, width)]
    return Content("\n").join(lines)


def _origin(snapshot: Snapshot, row: VersionRow) -> list[tuple[str, str]]:
    manifest = row.manifest
    if manifest is None:
        return []
    deployed = tr(
        "{at} by {by} ({origin})", at=formats.moment(manifest.started), by=manifest.by, origin=manifest.origin
    )
    if manifest.finished:
        deployed += tr(", took {finished}", finished=formats.duration(manifest.finished - manifest.started))
    run = snapshot.run(manifest.run)
    run_state = tr("{state} (o shows its log)", state=tr(run.state)) if run else tr("record gone")
    run_of_assets = manifest.assets.removeprefix("reused from ")
    origin = tr(manifest.assets) if run_of_assets == manifest.assets else tr("reused from {run}", run=run_of_assets)
    assets = tr("{assets}, builder {builder}", assets=origin or "?", builder=manifest.builder or "?")
    return [
        (tr("Deployed"), deployed),
        (tr("Ref"), manifest.ref or tr("the configured branch")),
        (tr("Run"), f"{manifest.run}, {run_state}"),
        (tr("Assets"), assets),
        *([(tr("Steps"), ", ".join(map(_step, manifest.steps)))] if manifest.steps else ()),
        (tr("Files"), tr("{files:,}, {bytes} in all", files=manifest.files, bytes=formats.size(manifest.bytes))),
        (tr("Made from"), ", ".join(f"{name} {digest[:12]}" for name, digest in _digests(manifest).items()) or "?"),
    ]


def _step(step: StepOrigin) -> str:
    if step.run:
        return tr("{name} reused", name=step.name)
    return f"{step.name} {formats.duration(step.seconds)}"


def _digests(manifest: Manifest) -> dict[str, str]:
    texts = {
        tr("ee tarball"): manifest.ee_sha256,
        tr("themes"): manifest.themes_sha256,
        tr("env file"): manifest.env_sha256,
        tr("builder"): manifest.builder_id.removeprefix("sha256:"),
    }
    # A local builder has no image: its id is no digest.
    return {name: digest for name, digest in texts.items() if re.fullmatch("[0-9a-f]{12,}", digest)}


def _field(name: str, text: str, width: int) -> list[Content]:
    first, *more = textwrap.wrap(text, width - _INDENT) or [""]
    return [Content.assemble((f"{name:9} ", "$muted"), first), *(Content(" " * _INDENT + part) for part in more)]


def _sizes(usage: VersionUsage | None) -> str:
    if usage is None:
        return tr("not measured yet")
    cells = 10
    own = round(cells * usage.exclusive / usage.size) if usage.size else 0
    bar = "█" * own + "░" * (cells - own)
    return tr(
        "{size}  {bar}  {exclusive} exclusive, {shared} shared",
        size=formats.size(usage.size),
        bar=bar,
        exclusive=formats.size(usage.exclusive),
        shared=formats.size(usage.shared),
    )


def _state(row: VersionRow) -> str:
    """Return the state, with why and since when a version has its mark or its pin."""
    mark, pin = row.mark, row.pin
    if mark is not None:
        who = ", ".join(part for part in (mark.by, formats.moment(mark.at)) if part)
        against = f"{tr(mark.kind)}{f': {clean_line(mark.reason)}' if mark.reason else ''}{f' ({who})' if who else ''}"
    elif pin is not None and row.state == "pinned":
        return pin.sentence()
    else:
        # The star of the table stands for the sentence about the pin.
        against = row.translated_state.removesuffix(" ★")
    return f"{against}; {pin.sentence()}" if pin else against


def _unread() -> str:
    return tr("not readable by this user")


def _lived(snapshot: Snapshot, row: VersionRow) -> list[str]:
    if row.unread:
        return [tr("now; since when is not readable by this user") if row.is_live else _unread()]
    times = [span for span in snapshot.spans if span.version == row.name]
    if not times:
        return [tr("was live, when is not recorded") if snapshot.was_live(row.name) else tr("never")]
    return [_span(span) for span in times[-3:][::-1]] + (
        [tr("and {count} times before", count=len(times) - 3)] if len(times) > 3 else []
    )


def _span(span: Span) -> str:
    """Return one time in which a version was live, as far as it is recorded."""
    since, until = formats.moment(span.since), formats.moment(span.until or 0.0)
    if span.until is None:
        when = tr("since {since}", since=since) if since else tr("now")
    elif until:
        when = tr("{since} to {until}", since=since, until=until) if since else tr("until {until}", until=until)
    else:
        when = tr("from {since}", since=since) if since else tr("when is not recorded")
    how = tr("{how} by {by}", how=tr(span.how), by=span.by) if span.how else tr("set by hand")
    return f"{when}, {how}{f' ({clean_line(tr(span.result))})' if span.result else ''}"


def _between(row: VersionRow, plan: SwitchPlan | None) -> list[Content]:
    if row.is_live:
        return []
    if plan is None:
        return [Content.styled(tr("Comparing with the live version …"), "$muted")]
    if plan.undone is None or plan.added is None:
        return [
            Content.styled(
                tr("Not compared with the live version: {why_unknown}.", why_unknown=plan.why_unknown), "$muted"
            )
        ]
    if not plan.undone and not plan.added:
        return [Content(tr("The same commit as the live version."))]
    return [
        *commits(tr("Going back to it would undo"), plan.undone),
        *commits(tr("Making it live would add"), plan.added),
    ]


def commits(title: str, commit_list: list[Commit], most: int = _MOST_COMMITS) -> list[Content]:
    """Return commits as lines under a title, not more than `most` of them; nothing when there are none."""
    if not commit_list:
        return []
    lines = [Content.styled(f"{title} {counted(len(commit_list), 'commit', 'commits')}:", "bold")]
    for commit in commit_list[:most]:
        lines.append(
            Content.assemble((f"  {commit.short} ", "$text-accent"), commit.subject, (f"  {commit.author}", "$muted"))
        )
    if len(commit_list) > most:
        lines.append(Content.styled(tr("  … and {count} more", count=len(commit_list) - most), "$muted"))
    return lines
