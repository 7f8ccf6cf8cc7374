"""Verdicts: what is judged of versions, written down in `marks/`, `holds/` and the history for those who decide later.

A version that is gone back from is `bad`: it gets a mark, and deploys of its commit are held, both before the switch
from it. One that fails its rehearsal is `failed`: it gets a mark. Where something cannot be written (a full disk) that
is a warning: nothing here keeps an operator from going back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from govma_core.context import Context
from govma_core.text.language import tr
from govma_core.versions.history import History, Promotion
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import Kind, Mark, MarkStore


@dataclass(frozen=True, slots=True)
class Verdict:
    """A version that is not good, the commit it was made from ('' when not known), and the reasons of mark and hold."""

    version: str
    commit: str
    mark: str
    hold: str


@contextmanager
def judge(context: Context, verdict: Verdict | None, target: str) -> Iterator[None]:
    """Write a verdict down before the switch to `target`, away from its version; None is no verdict.

    Neither a deploy nor a kill can come between. It is taken back when the block raises and `target` is not live.
    """
    if verdict is None:
        yield
        return
    earlier = marks(context).get(verdict.version)
    write(context, verdict)
    try:
        yield
    except BaseException:
        if context.versions.pointer().version != target:
            take_back(context, verdict.version, context.run_id, earlier)
        raise


def write(context: Context, verdict: Verdict) -> None:
    """Hold deploys of the commit of a version that is not good, then mark the version."""
    _hold_commit(context, verdict)
    _mark(context, verdict.version, "bad", verdict.mark)


def _hold_commit(context: Context, verdict: Verdict) -> None:
    """Hold deploys of a commit, and say so; a hold that there is already stays as it is."""
    reporter, commit = context.reporter, verdict.commit
    if not commit:
        return reporter.warning(
            "It is not recorded which commit {version} was made from: deploys of it cannot be "
            "held. `govma-console hold` holds all deploys.",
            version=verdict.version,
        )
    with attempt(context, tr("Deploys of commit {commit} could not be held", commit=commit[:9])):
        holds = HoldStore(context.settings.state_dir)
        if any(hold.commit == commit for hold in holds.read().commits):
            reporter.info("Deploys of commit {commit} are held already.", commit=commit[:9])
        else:
            reason = reporter.mask(verdict.hold)
            holds.hold_commit(commit, verdict.version, reason, context.by, time.time(), context.run_id)
            reporter.info(
                "Deploys of commit {commit} are held from now on; a newer commit can be deployed. "
                "`govma-console release {commit}` ends that.",
                commit=commit[:9],
            )


def _mark(context: Context, version: str, kind: Kind, reason: str) -> None:
    earlier = marks(context).get(version)
    if earlier is not None and earlier.kind == "bad":
        # Nothing that is said against it now may be taken away before that is.
        return
    # The first line says it; the rest of it is in the run's log.
    first_line = context.reporter.mask(reason).split("\n")[0]
    mark = Mark(version, kind, first_line, context.by, time.time(), context.run_id)
    with attempt(context, tr("{version} could not be marked as {kind}", version=version, kind=kind)):
        MarkStore(context.settings.state_dir).write(mark)


def take_back(context: Context, version: str, run: str, earlier: Mark | None = None) -> None:
    """Take back what a run has said against a version that it did not leave; `earlier` is the mark it had before."""
    with attempt(context, tr("The mark or hold of {version} could not be removed", version=version)):
        is_marked, commits = spoken_against(context, version, run)
        store = MarkStore(context.settings.state_dir)
        if is_marked and earlier is not None:
            store.write(earlier)
        elif is_marked:
            store.clear(version)
        for commit in commits:
            HoldStore(context.settings.state_dir).release_commit(commit)
        if is_marked or commits:
            context.reporter.warning("{left} is still live; its mark and hold were removed.", left=version)


def spoken_against(context: Context, version: str, run: str) -> tuple[bool, list[str]]:
    """Tell whether a run has marked a version, and which commits it holds because of it."""
    mark = marks(context).get(version)
    holds = HoldStore(context.settings.state_dir).read().commits
    commits = [hold.commit for hold in holds if (hold.run, hold.version) == (run, version)]
    return mark is not None and mark.run == run, commits


def forgive(context: Context, version: str, *, but: str = "") -> None:
    """Forget what speaks against a version that was made live on purpose; the hold of commit `but` stays."""
    mark = marks(context).get(version)
    if mark is not None:
        sentence = tr("{version} was {sentence}. It is not any more.", version=version, sentence=mark.sentence())
        _clear_mark(context, version, sentence)
    manifest = ManifestStore(context.settings.state_dir).read(version)
    if manifest is not None and manifest.commit != but:
        end_hold(context, manifest.commit, tr("{version} was made live", version=version))


def end_hold(context: Context, commit: str, why: str) -> None:
    """End the hold of a commit, and say why; that it cannot be written is a warning."""
    with attempt(context, tr("The hold of commit {commit} could not be ended", commit=commit[:9])):
        for hold in HoldStore(context.settings.state_dir).release_commit(commit):
            context.reporter.info(
                "Deploys of commit {commit} are no longer held: {why}.", commit=hold.commit[:9], why=why
            )


def mark_failed(context: Context, version: str, reason: str) -> None:
    """Mark a version that did not pass its rehearsal, unless it is known for worse."""
    _mark(context, version, "failed", reason)
    context.reporter.warning("{version} is kept, and marked; current-version is as it was.", version=version)


def unmark_failed(context: Context, version: str) -> None:
    """Take back that a version did not pass, now that it has; what else speaks against it stays."""
    mark = marks(context).get(version)
    if mark is not None and mark.kind == "failed":
        _clear_mark(context, version)


def _clear_mark(context: Context, version: str, sentence: str = "") -> None:
    with attempt(context, tr("The mark of {version} could not be taken away", version=version)):
        MarkStore(context.settings.state_dir).clear(version)
        if sentence:
            context.reporter.info(sentence)


def marks(context: Context) -> dict[str, Mark]:
    """Return what is known against versions; that it cannot be read is a warning."""
    try:
        return MarkStore(context.settings.state_dir).read()
    except OSError as error:
        context.reporter.warning("The marks of versions cannot be read: {strerror}.", strerror=error.strerror)
        return {}


def last_promotion(context: Context) -> Promotion | None:
    """Return the last promotion that the history knows; None where there is none, or it cannot be read."""
    try:
        return next(reversed(History(context.settings.state_dir).read()), None)
    except OSError as error:
        context.reporter.warning("The history cannot be read: {strerror}.", strerror=error.strerror)
        return None


def note_result(context: Context, result: str, run: str = "") -> None:
    """Add to the history what the promotion of `run` (else this one) came to; a failure to write is a warning."""
    with attempt(context, tr("The result of the promotion could not be written to the history")):
        History(context.settings.state_dir).note(run or context.run_id, context.reporter.mask(result), time.time())


@contextmanager
def attempt(context: Context, failure: str) -> Iterator[None]:
    """Have the block write something down; that it cannot be written is a warning that begins with `failure`."""
    try:
        yield
    except OSError as error:
        context.reporter.warning(f"{failure}: {error.strerror}.")
