"""All about the selected version."""

from __future__ import annotations

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from govma_console.tui import formats
from govma_console.tui.disk import Sizes
from govma_console.tui.plans import CommitLine, SwitchPlan
from govma_console.tui.snapshot import Snapshot, VersionRow

_MOST_COMMITS = 12


class Detail(VerticalScroll, can_focus=True):
    """The manifest of a version, its place in history, and what lies between it and the live one."""

    def compose(self):  # type: ignore[no-untyped-def]  # noqa: ANN201
        """Make the text."""
        yield Static("", id="detail-text")

    def show(self, snapshot: Snapshot, row: VersionRow | None, sizes: Sizes | None, plan: SwitchPlan | None) -> None:
        """Show a version; `plan` is None while it is being found out."""
        content = _empty() if row is None else _content(snapshot, row, sizes, plan)
        self.query_one("#detail-text", Static).update(content)


def _empty() -> Content:
    return Content.assemble(("No version is selected.", "$muted"))


def _content(snapshot: Snapshot, row: VersionRow, sizes: Sizes | None, plan: SwitchPlan | None) -> Content:
    lines = [Content.assemble((row.name, "bold"), ("  ● live" if row.current else "", "bold $text-success"))]
    manifest = row.manifest
    if manifest:
        lines.append(_field("Commit", f"{manifest.commit[:12]} {manifest.subject}"))
        lines.append(_field("Author", f"{manifest.author}, {formats.moment(manifest.committed)}"))
        lines.append(_field("Ref", manifest.ref or "the configured branch"))
        took = f", took {formats.duration(manifest.finished - manifest.started)}" if manifest.finished else ""
        lines.append(
            _field("Deployed", f"{formats.moment(manifest.started)} by {manifest.by} ({manifest.origin}){took}")
        )
        run = snapshot.run(manifest.run)
        lines.append(_field("Run", f"{manifest.run}, {f'{run.state} (o shows its log)' if run else 'record gone'}"))
        lines.append(_field("Assets", f"{manifest.assets or '?'}, builder {manifest.builder or '?'}"))
        lines.append(_field("Files", f"{manifest.files:,}, {formats.size(manifest.bytes)} in all"))
    else:
        lines.append(_field("Made by", "another tool (no manifest): its commit is not known"))
    lines.append(_field("State", row.state + (f": {row.pinned}" if row.pinned else "")))
    lines.append(_field("Size", _sizes(sizes)))
    lines += [_field("Live", text) for text in _lived(snapshot, row)]
    lines += [Content(""), *_between(row, plan)]
    return Content("\n").join(lines)


def _field(name: str, text: str) -> Content:
    return Content.assemble((f"{name:9} ", "$muted"), text)


def _sizes(sizes: Sizes | None) -> str:
    if sizes is None:
        return "not measured yet"
    cells = 10
    own = round(cells * sizes.exclusive / sizes.size) if sizes.size else 0
    bar = "█" * own + "░" * (cells - own)
    return (
        f"{formats.size(sizes.size)}  {bar}  {formats.size(sizes.exclusive)} only it, "
        f"{formats.size(sizes.shared)} shared"
    )


def _lived(snapshot: Snapshot, row: VersionRow) -> list[str]:
    times = [promotion for promotion in snapshot.promotions if promotion.version == row.name]
    if not times:
        return ["was live, when is not recorded" if row.was_live else "never"]
    shown = [f"{formats.moment(promotion.at)}, {promotion.how} by {promotion.by}" for promotion in times[-3:][::-1]]
    return shown + ([f"and {len(times) - 3} times before"] if len(times) > 3 else [])


def _between(row: VersionRow, plan: SwitchPlan | None) -> list[Content]:
    if row.current:
        return []
    if plan is None:
        return [Content.assemble(("Comparing with the live version …", "$muted"))]
    if plan.undone is None or plan.added is None:
        return [Content.assemble((f"Not compared with the live version: {plan.why_unknown}.", "$muted"))]
    if not plan.undone and not plan.added:
        return [Content("The same commit as the live version.")]
    return [
        *commits("Going back to it would undo", plan.undone),
        *commits("Making it live would add", plan.added),
    ]


def commits(title: str, found: list[CommitLine], most: int = _MOST_COMMITS) -> list[Content]:
    """Give commits as lines under a title, not more than `most` of them; nothing when there are none."""
    if not found:
        return []
    lines = [Content.assemble((f"{title} {formats.count(len(found), 'commit')}:", "bold"))]
    for commit in found[:most]:
        lines.append(
            Content.assemble((f"  {commit.short} ", "$text-accent"), commit.subject, (f"  {commit.author}", "$muted"))
        )
    if len(found) > most:
        lines.append(Content.assemble((f"  … and {len(found) - most} more", "$muted")))
    return lines
