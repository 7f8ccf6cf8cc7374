"""What an operation would do, asked of the core before it is started. These take time: call them in a thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from govma_console.tui.site_state import Snapshot, VersionRow
from govma_core.context import Context
from govma_core.disk.usage import last_measured
from govma_core.errors import GovmaError
from govma_core.reporting import silent
from govma_core.runs.launch import local_requester, prepared_store
from govma_core.settings import Settings, from_plain, to_plain
from govma_core.text.clean import clean_line
from govma_core.text.language import tr
from govma_core.versions.holds import Hold, HoldStore
from govma_core.versions.marks import PinStore

if TYPE_CHECKING:
    from govma_core.deploy.source import Commit


ORIGIN = "console"
_fetching = threading.Lock()
"""Two fetches at once in one checkout get in each other's way."""


@dataclass(frozen=True, slots=True)
class CommitLine:
    """A commit as a dialog shows it."""

    short: str
    subject: str
    author: str
    sha: str


@dataclass(frozen=True, slots=True)
class DeployPlan:
    """What a deploy would bring; `commits` and `undone` are None when the live commit is not known."""

    live: str
    live_commit: str
    target: CommitLine
    commits: list[CommitLine] | None
    undone: list[CommitLine] | None
    fetched: float
    held: Hold | None = None
    """What this deploy would have to be forced against."""
    containers: str = ""
    """What the containers need besides, as a sentence."""


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """What a switch of the link would do: commits that go and come (None: not known), when the target was live."""

    source: str
    target: VersionRow
    undone: list[CommitLine] | None
    added: list[CommitLine] | None
    last_live: float
    ever_live: bool
    why_unknown: str = ""


def plan_deploy(settings: Settings, ref: str | None) -> DeployPlan:
    """Fetch, and compare what is live with what would be deployed; GovmaError or OSError when that fails."""
    from govma_core.deploy.pending import pending

    with _fetching:
        changes = pending(Context.for_reading(settings), ref=ref)
    return DeployPlan(
        changes.live,
        changes.live_commit,
        _line(changes.target),
        _lines(changes.commits),
        _lines(changes.undone),
        time.time(),
        HoldStore(settings.state_dir).read().of(changes.target.sha),
        changes.containers,
    )


def after_deploy(settings: Settings) -> list[str]:
    """Say what the settings have a deploy do beside what is shown."""
    sentences = []
    if settings.dedupe == "all":
        sentences.append(tr("Then dedupes all versions (dedupe = all)."))
    if settings.prune_after_deploy:
        young = (
            tr(" and those younger than {keep_younger}", keep_younger=settings.keep_younger)
            if settings.keep_younger
            else ""
        )
        sentences.append(
            tr(
                "Then REMOVES old versions (prune_after_deploy): the latest {keep_versions} good ones{young} "
                "stay; Prune shows which.",
                keep_versions=settings.keep_versions,
                young=young,
            )
        )
    return sentences


def rollback_target(settings: Settings, snapshot: Snapshot) -> VersionRow | None:
    """Return the version that a rollback without a name leads to; None when there is none."""
    from govma_core.promotion.rollback import previous

    try:
        return snapshot.version(previous(Context.for_reading(settings), snapshot.pointer.version).name)
    except (GovmaError, OSError):
        return None


def plan_switch(settings: Settings, snapshot: Snapshot, target: VersionRow) -> SwitchPlan:
    """Compare the live version with another one; never fails, what is not known is None."""
    source = snapshot.pointer.version or ""
    lived = [promotion.at for promotion in snapshot.promotions if promotion.version == target.name]
    undone, added, why = _between(settings, snapshot.current, target)
    return SwitchPlan(source, target, undone, added, max(lived, default=0.0), target.was_live, why)


def _between(
    settings: Settings, current: VersionRow | None, target: VersionRow
) -> tuple[list[CommitLine] | None, list[CommitLine] | None, str]:
    if current is None or current.manifest is None or target.manifest is None:
        nameless = (
            tr("nothing is live")
            if current is None
            else tr("no commit is recorded for {nameless}", nameless=_nameless(current, target))
        )
        return None, None, nameless
    if current.manifest.commit == target.manifest.commit:
        return [], [], ""
    from govma_core.deploy.source import Checkout

    try:
        with closing(Checkout(settings, silent())) as checkout:
            undone = _lines(checkout.between(target.manifest.commit, current.manifest.commit))
            added = _lines(checkout.between(current.manifest.commit, target.manifest.commit))
    except (GovmaError, OSError) as error:
        return None, None, str(error).split("\n")[0]
    return undone, added, "" if undone is not None else tr("the checkout does not have both commits")


def _nameless(*rows: VersionRow) -> str:
    return tr(" and ").join(row.name for row in rows if row.manifest is None)


def _line(commit: Commit) -> CommitLine:
    return CommitLine(commit.short, commit.subject, commit.author, commit.sha)


def _lines(commits: list[Commit] | None) -> list[CommitLine] | None:
    return None if commits is None else [_line(commit) for commit in commits]


class Query:
    """One question on its way; `ask` blocks (call it in a thread), `give_up` ends it from anywhere."""

    def __init__(self, settings: Settings, what: str, **arguments: Any) -> None:  # noqa: ANN401
        self._text = json.dumps({"settings": to_plain(settings), "what": what, "arguments": arguments})
        self._process: subprocess.Popen[str] | None = None
        self._given_up = False

    def ask(self) -> dict[str, Any]:
        """Return the answer; GovmaError with the sentence of what went wrong."""
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "govma_console.tui.plans"],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            self._process = process
            if self._given_up:
                process.kill()
            out, _ = process.communicate(self._text)
        try:
            answer = json.loads(out)
        except ValueError:
            raise GovmaError(tr("The question was not answered: its process ended.")) from None
        if "error" in answer:
            raise GovmaError(answer["error"])
        result: dict[str, Any] = answer["answer"]
        return result

    def give_up(self) -> None:
        """End it; nobody waits for the answer any more."""
        self._given_up = True
        if self._process is not None:
            self._process.kill()


def _usage(settings: Settings) -> dict[str, Any]:
    from govma_core.disk.usage import account

    usage = account(_context(settings))
    return {
        "versions": {each.name: [each.size, each.exclusive, each.shared] for each in usage.versions},
        "real": usage.real,
        "unlinked": usage.unlinked,
        "free": usage.free,
        "capacity": usage.capacity,
        "unread": usage.unread,
    }


def _prune(settings: Settings, keep: int | None, older_than: str | None) -> dict[str, Any]:
    from govma_core.prune import prune

    return prune.plan(_context(settings), keep=keep, older_than=older_than).as_dict()


def _dedupe(settings: Settings) -> dict[str, Any]:
    from govma_core.disk.dedupe import dry_run

    return dry_run(_context(settings)).details()


def _services(settings: Settings, lines: int, disk: bool) -> dict[str, Any]:
    from govma_core.services.view import view

    return view(_context(settings), lines=lines, disk=disk).plain()


def _context(settings: Settings) -> Any:  # noqa: ANN401
    from govma_core.context import Context

    return Context.for_reading(settings)


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "usage": _usage,
    "prune": _prune,
    "dedupe": _dedupe,
    "services": _services,
}


def main() -> None:
    """Answer one question."""
    # What is drawn and what is served comes first.
    os.nice(5)
    question = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        answer = {"answer": _QUESTIONS[question["what"]](from_plain(question["settings"]), **question["arguments"])}
    except (GovmaError, OSError) as error:
        answer = {"error": str(error)}
    json.dump(answer, sys.stdout)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of one version: on the disk, what only it uses, what it shares with others."""

    size: int
    exclusive: int
    shared: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes of all versions together (hard links counted once, and not at all), and of the filesystem.

    `real` and `unlinked` are 0 until they were measured.
    """

    free: int
    capacity: int
    versions: Mapping[str, Sizes] = field(default_factory=dict)
    real: int = 0
    unlinked: int = 0
    problem: str = ""
    """What was not measured, and why."""

    @property
    def saved(self) -> int:
        """Return what hard links save."""
        return max(0, self.unlinked - self.real)


def last_known(settings: Settings) -> DiskUse | None:
    """Return what was measured last, and the room there is now, at once; None when the directory cannot be read."""
    free_and_capacity = room(settings)
    if free_and_capacity is None:
        return None
    last_sizes = last_measured(settings.state_dir, settings.versions_dir)
    sizes = {name: Sizes(usage.size, usage.exclusive, usage.shared) for name, usage in last_sizes.items()}
    return DiskUse(*free_and_capacity, sizes)


def room(settings: Settings) -> tuple[int, int] | None:
    """Return the free bytes and all bytes where the versions are; None when that cannot be asked."""
    try:
        filesystem = os.statvfs(settings.versions_dir)
    except OSError:
        return None
    return filesystem.f_bavail * filesystem.f_frsize, filesystem.f_blocks * filesystem.f_frsize


def measured(settings: Settings) -> DiskUse:
    """Measure the versions; takes seconds, for a thread. GovmaError where it cannot be done."""
    answer = Query(settings, "usage").ask()
    sizes = {name: Sizes(*numbers) for name, numbers in answer["versions"].items()}
    unread = answer["unread"]
    problem = (
        tr("{unread} directories cannot be read by this user: sizes are larger than shown.", unread=unread)
        if unread
        else ""
    )
    return DiskUse(answer["free"], answer["capacity"], sizes, answer["real"], answer["unlinked"], problem)


def pin(settings: Settings, version: str, reason: str) -> None:
    """Pin a version, so that prune keeps it."""
    prepared_store(settings)
    PinStore(settings.state_dir).pin(version, local_requester(ORIGIN).by, reason, time.time())


def unpin(settings: Settings, version: str) -> None:
    """Take the pin of a version away."""
    PinStore(settings.state_dir).unpin(version)


def hold(settings: Settings, reason: str, until: float) -> None:
    """Hold all deploys until a moment (epoch seconds; 0: until they are released)."""
    prepared_store(settings)
    HoldStore(settings.state_dir).hold(reason, local_requester(ORIGIN).by, time.time(), until)


def release(settings: Settings) -> None:
    """End all holds."""
    prepared_store(settings)
    HoldStore(settings.state_dir).release()


@dataclass(frozen=True, slots=True)
class PruneLine:
    """What becomes of one version, why, and what removing it frees."""

    name: str
    keep: bool
    why: str
    frees: int


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do, the newest version first."""

    lines: tuple[PruneLine, ...]
    frees: int
    warnings: tuple[str, ...]

    @property
    def removed(self) -> list[str]:
        """Return the versions that would go."""
        return [line.name for line in self.lines if not line.keep]


def prune_plan(answer: dict[str, Any]) -> PrunePlan:
    """Read the answer to the question `prune`."""
    lines = [
        PruneLine(
            clean_line(version["name"]), version["keep"], clean_line("; ".join(version["reasons"])), version["frees"]
        )
        for version in answer["versions"]
    ]
    return PrunePlan(tuple(lines), answer["frees"], tuple(map(clean_line, answer["warnings"])))


if __name__ == "__main__":
    main()
