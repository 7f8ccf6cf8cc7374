"""What holds and marks mean for a switch: what a rollback leaves behind, and what ends a hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from govma_core.context import Context, commit_of
from govma_core.errors import UnprovedError
from govma_core.promotion import verdicts
from govma_core.text.language import tr
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import Mark, MarkStore


@contextmanager
def made_live(context: Context, then: Callable[[], None]) -> Iterator[None]:
    """Frame a switch: call `then` once the version is live by somebody's choice, proved or not."""
    try:
        yield
    except UnprovedError:
        _attempt(context, then)
        raise
    _attempt(context, then)


@contextmanager
def against(context: Context, left: str, target: str, commit: str, *, mark: str, hold: str) -> Iterator[None]:
    """Frame the switch from a version that is not good: it is marked bad, and deploys of its commit are held.

    Before the switch, so that neither a deploy nor a kill can come between; taken back when the block raises and
    `target` is not live. `mark` and `hold` are the reasons.
    """
    earlier = verdicts.marks(context).get(left)
    verdicts.mark_bad(context, left, commit, mark=mark, hold=hold)
    try:
        yield
    except BaseException:
        if context.versions.pointer().version != target:
            take_back(context, left, context.run_id, earlier)
        raise


@contextmanager
def leaving(context: Context, left: str | None, target: str, *, keep_mark: bool) -> Iterator[None]:
    """Frame the switch of a rollback: what it leaves is not good, unless told not to say so (`keep_mark`).

    Behind the block nothing speaks against `target` any more.
    """
    why = tr("rolled back to {target}", target=target)
    commit = commit_of(context, left) if left is not None and not keep_mark else ""
    with ExitStack() as stack:
        stack.enter_context(made_live(context, lambda: chosen(context, target, but=commit)))
        if left is not None and not keep_mark:
            stack.enter_context(against(context, left, target, commit, mark=why, hold=why))
        yield


def chosen(context: Context, version: str, *, but: str = "") -> None:
    """Forget what speaks against a version that somebody made live on purpose; the hold of commit `but` stays."""
    state = context.settings.state_dir
    mark = verdicts.marks(context).get(version)
    if mark is not None:

        def clear() -> None:
            MarkStore(state).clear(version)
            context.reporter.info(
                tr("{version} was {sentence}. It is not any more.", version=version, sentence=mark.sentence())
            )

        verdicts.written(context, clear, tr("The mark of {version} could not be taken away", version=version))
    made = ManifestStore(state).read(version)
    if made is not None and made.commit != but:
        end_hold(context, made.commit, tr("{version} was made live", version=version))


def take_back(context: Context, version: str, run: str, earlier: Mark | None = None) -> None:
    """Take back what a run has said against a version that it did not leave; `earlier` is the mark it had before."""
    marks, holds = MarkStore(context.settings.state_dir), HoldStore(context.settings.state_dir)

    def take() -> None:
        mark = marks.read().get(version)
        marked = mark is not None and mark.run == run
        if marked:
            if earlier is None:
                marks.clear(version)
            else:
                marks.put_back(earlier)
        held = [hold.commit for hold in holds.read().commits if hold.run == run]
        for commit in held:
            holds.release_commit(commit)
        if marked or held:
            context.reporter.warning(tr("{left} is still live; its mark and hold were removed.", left=version))

    verdicts.written(context, take, tr("The mark or hold of {version} could not be removed", version=version))


def warn(context: Context) -> None:
    """Say that deploys are held: a promotion is deliberate, and goes on."""
    with suppress(OSError):
        hold = HoldStore(context.settings.state_dir).read().by_hand
        if hold is not None:
            context.reporter.warning(
                tr("{sentence} A promotion is made on purpose, so it continues.", sentence=hold.sentence())
            )


def _attempt(context: Context, then: Callable[[], None]) -> None:
    try:
        then()
    except Exception as error:
        # Whatever it was: a version that is live must not be told as one that is not.
        context.reporter.warning(tr("Holds and marks could not be updated after the switch: {error}.", error=error))


def end_hold(context: Context, commit: str, why: str) -> None:
    """End the hold of a commit, and say why; that it cannot be written is a warning."""

    def release() -> None:
        for hold in HoldStore(context.settings.state_dir).release_commit(commit):
            context.reporter.info(
                tr("Deploys of commit {commit} are no longer held: {why}.", commit=hold.commit[:9], why=why)
            )

    verdicts.written(context, release, tr("The hold of commit {commit} could not be ended", commit=commit[:9]))
