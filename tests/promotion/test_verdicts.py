"""What is said against versions, and when it is taken back: proved or not, killed or not, tried again."""

from __future__ import annotations

import errno
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import NotTriedError, RehearsalError, RevertedError, UnprovedError
from govma_core.masking import Mask
from govma_core.promotion import go_live, promote, rollback, verdicts
from govma_core.promotion.activation import Activation, Served
from govma_core.promotion.go_live import make_live
from govma_core.promotion.verdicts import Verdict
from govma_core.runs import recovery
from govma_core.versions.history import History, Promotion, spans
from govma_core.versions.holds import HoldStore
from govma_core.versions.marks import Mark, MarkStore
from tests.support.handlers import QuietHandler, serving
from tests.support.releases import NAMES, Releases

OLD, NEW = NAMES[:2]
COMMIT = "a" * 40
NOBODY_THERE = {"activation_url": "http://127.0.0.1:1", "activation_timeout": 1}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    releases = Releases(tmp_path / "site")
    releases.add(OLD, NEW, result="published")
    releases.live(NEW)
    return releases


def marks(releases: Releases) -> dict[str, str]:
    return {name: mark.kind for name, mark in MarkStore(releases.state).read().items()}


def held(releases: Releases) -> list[str]:
    return [hold.commit for hold in HoldStore(releases.state).read().commits]


def mark(releases: Releases, version: str, kind: Any = "bad") -> None:
    MarkStore(releases.state).write(Mark(version, kind, "x", "ana", 1.0, "earlier"))


def test_what_is_live_on_purpose_has_no_mark_though_nobody_proves_it(releases: Releases) -> None:
    """Guards the next rollback and deploy: the switch stands, and so does the will behind it."""
    releases.flags |= NOBODY_THERE
    mark(releases, OLD)
    with pytest.raises(UnprovedError):
        rollback.run(releases.context(), version=OLD)
    assert marks(releases) == {NEW: "bad"}
    with pytest.raises(UnprovedError):
        promote.run(releases.context(), version=NEW)
    assert marks(releases) == {}


def test_no_reason_holds_a_secret_that_an_error_quoted(releases: Releases) -> None:
    """Guards marks, holds and the history: all users may read them, and they stay."""
    secret = "hunter2-of-the-db"
    context = releases.context()
    context.reporter.mask = Mask([secret])
    verdicts.write(context, Verdict(NEW, COMMIT, f"denied for {secret}\n{secret}", f"held: {secret}"))
    verdicts.mark_failed(context, OLD, f"{secret} did not answer")
    verdicts.note_result(context, f"failed with {secret}")
    reasons = {name: mark.reason for name, mark in MarkStore(releases.state).read().items()}
    assert reasons == {NEW: "denied for ***", OLD: "*** did not answer"}
    assert [hold.reason for hold in HoldStore(releases.state).read().commits] == ["held: ***"]
    assert "failed with ***" in str(History(releases.state).entries())
    written = [path for path in releases.state.rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    assert secret not in releases.log()


@pytest.mark.parametrize("marked", [True, False])
def test_a_rollback_that_was_killed_before_its_switch_has_said_nothing(releases: Releases, marked: bool) -> None:
    """Guards the moment between the hold and the mark, too."""
    context = releases.context()
    verdicts.write(context, Verdict(NEW, COMMIT, "rolled back", "rolled back"))
    if not marked:
        MarkStore(releases.state).clear(NEW)
    recovery.settle_version(releases.context(), "rollback", "another run")
    assert (bool(marks(releases)), held(releases)) == (marked, [COMMIT])
    recovery.settle_version(releases.context(), "rollback", context.run_id)
    assert (marks(releases), held(releases)) == ({}, [])
    assert f"{NEW} is still live; its mark and hold were removed." in releases.log("warning")


def test_what_was_said_before_a_rollback_that_did_not_happen_stays(releases: Releases) -> None:
    """Guards an earlier hold of the commit, and an earlier mark: neither is replaced, so neither is lost."""
    mark(releases, NEW)
    HoldStore(releases.state).hold_commit(COMMIT, OLD, "earlier", "rui", 1.0, "earlier")
    context = releases.context()
    with pytest.raises(RuntimeError), verdicts.judge(context, Verdict(NEW, COMMIT, "x", "x"), OLD):
        raise RuntimeError
    assert "removed" not in releases.log()
    verdicts.write(context, Verdict(NEW, COMMIT, "x", "x"))
    assert f"Deploys of commit {COMMIT[:9]} are held already." in releases.log("info")
    recovery.settle_version(releases.context(), "rollback", context.run_id)
    assert marks(releases) == {NEW: "bad"}
    assert [hold.by for hold in HoldStore(releases.state).read().commits] == ["rui"]
    mark(releases, NEW, "failed")
    with pytest.raises(RuntimeError), verdicts.judge(context, Verdict(NEW, COMMIT, "x", "x"), OLD):
        raise RuntimeError
    assert marks(releases) == {NEW: "failed"}


def test_a_hold_stays_when_a_rollback_leads_to_another_version_of_its_commit(releases: Releases) -> None:
    """Guards the next trigger: what is live is of the held commit, too, and a deploy of it would be what was left."""
    for name in (OLD, NEW):
        releases.record(name, commit=COMMIT)
    rollback.run(releases.context(), version=OLD)
    assert (marks(releases), held(releases)) == ({NEW: "bad"}, [COMMIT])
    promote.run(releases.context(), version=OLD)
    assert (marks(releases), held(releases)) == ({NEW: "bad"}, [])
    rollback.run(releases.context(), version=NEW)
    assert (marks(releases), held(releases)) == ({OLD: "bad"}, [COMMIT])
    promote.run(releases.context(), version=OLD)
    assert (marks(releases), held(releases)) == ({}, [])


def test_a_rollback_to_a_held_commit_ends_its_hold_and_holds_the_one_that_is_left(releases: Releases) -> None:
    releases.record(NEW, commit=COMMIT)
    releases.record(OLD, commit="c" * 40)
    HoldStore(releases.state).hold_commit("c" * 40, OLD, "x", "rui", 1.0, "earlier")
    rollback.run(releases.context(), version=OLD)
    assert held(releases) == [COMMIT]


def test_a_rollback_that_was_killed_behind_its_switch_has_said_it(releases: Releases) -> None:
    context = releases.context()
    verdicts.write(context, Verdict(NEW, COMMIT, "rolled back", "rolled back"))
    releases.live(OLD)
    recovery.settle_version(releases.context(), "rollback", context.run_id)
    assert (marks(releases), held(releases)) == ({NEW: "bad"}, [COMMIT])


def test_a_deploy_that_was_killed_on_its_way_back_has_said_why(releases: Releases) -> None:
    """Guards the next trigger: what was found not to be good stays so, live or not."""
    context = releases.context()
    verdicts.write(context, Verdict(NEW, COMMIT, "/ answered 500", "/ answered 500"))
    recovery.settle_version(releases.context(), "deploy", context.run_id)
    assert (marks(releases), held(releases)) == ({NEW: "bad"}, [COMMIT])
    assert f"{NEW} is live, but was found not to be good" in releases.log("warning")


def test_a_run_that_was_killed_before_its_proof_is_told_so(releases: Releases) -> None:
    history = History(releases.state)
    history.append(Promotion(1.0, NEW, OLD, "deploy", "ana", "killed"))
    # A command alone asks nobody, so that no run has anything to note.
    for flags, run in (({"activation_command": "true"}, "killed"), (NOBODY_THERE, "another run")):
        releases.flags |= flags
        recovery.settle_version(releases.context(), "deploy", run)
        assert releases.log() == ""
    recovery.settle_version(releases.context(), "deploy", "killed")
    assert f"{NEW} is live, but run killed was interrupted before it was proved" in releases.log("warning")
    assert spans(history.entries(), NEW)[-1].result == "not proved: interrupted"
    recovery.settle_version(releases.context(), "deploy", "killed")
    assert releases.log() == ""
    releases.directory.rename(releases.root / "aside")
    recovery.settle_version(releases.context(), "deploy", "killed")


def test_marks_and_a_history_that_cannot_be_read_are_warnings(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the way back from a disk with a fault below state_dir."""

    def failing(*arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    context = releases.context()
    monkeypatch.setattr(MarkStore, "read", failing)
    monkeypatch.setattr(History, "read", failing)
    assert verdicts.marks(context) == {}
    assert verdicts.last_promotion(context) is None
    assert releases.log("warning").splitlines() == [
        "The marks of versions cannot be read: Input/output error.",
        "The history cannot be read: Input/output error.",
    ]


def test_what_is_said_and_unsaid_is_told(releases: Releases) -> None:
    context = releases.context()
    verdicts.mark_failed(context, OLD, "no answer")
    assert f"{OLD} is kept, and marked; current-version is as it was." in releases.log("warning")
    verdicts.unmark_failed(context, OLD)
    assert releases.log("info") == ""
    releases.record(OLD, commit=COMMIT)
    verdicts.write(context, Verdict(OLD, COMMIT, "slow", "slow"))
    verdicts.forgive(context, OLD)
    assert f"{OLD} was marked bad by ana: slow. It is not any more." in releases.log("info")
    assert f"Deploys of commit {COMMIT[:9]} are no longer held: {OLD} was made live." in releases.log("info")


def test_a_version_that_is_good_after_all_is_not_marked_as_failed_any_more(releases: Releases, tmp_path: Path) -> None:
    """Guards rollbacks, which pass over marked versions: the database may have been down."""
    up = tmp_path / "up"
    releases.flags["rehearsal_command"] = f"test $GOVMA_VERSION = {NEW} || test -e '{up}'"
    with pytest.raises(RehearsalError):
        promote.check(releases.context(), version=OLD)
    assert marks(releases) == {OLD: "failed"}
    up.touch()
    promote.check(releases.context(), version=OLD)
    assert marks(releases) == {}
    mark(releases, OLD, "bad")
    for error in (RehearsalError, None):
        up.unlink() if error else up.touch()
        with pytest.raises(error) if error else nullcontext():
            promote.check(releases.context(), version=OLD)
        assert marks(releases) == {OLD: "bad"}


def test_what_is_live_is_not_marked_for_a_check(releases: Releases) -> None:
    releases.flags["rehearsal_command"] = "false"
    with pytest.raises(RehearsalError):
        promote.check(releases.context(), version=NEW)
    assert marks(releases) == {}


@pytest.mark.parametrize("command", ["/no/such/program", "exec /etc/passwd", "kill -9 $$"])
def test_a_command_that_could_not_do_its_work_speaks_against_no_version(releases: Releases, command: str) -> None:
    releases.flags["rehearsal_command"] = command
    with pytest.raises(NotTriedError, match="could not do its work"):
        promote.run(releases.context(), version=OLD)
    assert marks(releases) == {}


def test_a_command_of_the_activation_that_fails_proves_nothing(releases: Releases) -> None:
    """Guards the green run: PHP may go on serving the version before."""
    releases.flags["activation_command"] = "exit 7"
    with pytest.raises(UnprovedError, match=r"activation\.command ended with exit code 7"):
        promote.run(releases.context(), version=OLD)


def failing_to_serve(self: Activation, version: str, *arguments: Any, **options: Any) -> Any:
    raise RuntimeError("can't start new thread")


def test_what_fails_behind_the_switch_does_not_hide_that_it_is_live(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards exit code 6, the history, and the end of what speaks against a version that is live on purpose."""
    monkeypatch.setattr(Activation, "serve", failing_to_serve)
    mark(releases, OLD)
    for operation, version in ((rollback, OLD), (promote, NEW)):
        with pytest.raises(UnprovedError, match=f"{version} is live, but it is not proved .*can't start new thread"):
            operation.run(releases.context(), version=version)
        assert version not in marks(releases)
        assert "can't start" in spans(History(releases.state).entries(), version)[-1].result


def test_nor_does_what_fails_later(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any) -> None:
        raise ValueError("odd")

    monkeypatch.setattr("govma_core.hooks.after", failing)
    with pytest.raises(UnprovedError, match=f"{OLD} is live, but what followed the switch failed: odd"):
        promote.run(releases.context(), version=OLD)


def test_nor_does_a_manifest_that_cannot_be_read(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(verdicts, "forgive", failing)
    promote.run(releases.context(), version=OLD)
    assert "Holds and marks could not be updated" in releases.log("warning")


def test_a_way_back_that_cannot_be_looked_at_is_none(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(fd: int, version: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Activation, "serve", lambda *arguments, **options: Served("x", failing="/ answered 500"))
    monkeypatch.setattr(go_live, "missing_parts", failing)
    with pytest.raises(UnprovedError, match=r"There is no version to switch back to"):
        promote.run(releases.context(), version=OLD)


@pytest.mark.parametrize("certain", [True, False])
def test_checks_say_nothing_of_a_version_that_is_not_proved_to_have_answered(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, certain: bool
) -> None:
    """Guards `on_unproved = "warn"`: the version before may have answered them, or nobody."""
    served = Served("x", unproved="nobody answered", failing="/ did not answer", certain=certain)
    monkeypatch.setattr(Activation, "serve", lambda *arguments, **options: served)
    with pytest.raises(UnprovedError, match="nobody answered; it does not answer as it must: / did not answer"):
        promote.run(releases.context(), version=OLD)
    assert (releases.store.pointer().version, marks(releases), held(releases)) == (OLD, {}, [])


@pytest.mark.parametrize(
    ("status", "said", "proof_path", "reverted"),
    [
        *((status, "", "", True) for status in (500, 503, 0)),
        *((200, said, path, said != "before") for said in ("<b>Fatal error</b>: x", "before") for path in ("", "/p")),
        (200, "live", "", True),  # Those who are asked serve it, and a container is not found.
    ],
)
def test_a_version_is_gone_back_from_unless_the_one_before_may_have_given_the_answers(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, status: int, said: str, proof_path: str, reverted: bool
) -> None:
    """Guards against a broken .htaccess, a dead PHP, and a container too few: the site is down, and nobody looks."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            live = releases.store.pointer().version
            code = 200 if live == NEW else 500 if self.path.startswith("/?") else status
            if code:
                self.send_response(code)
                self.end_headers()
                name = {"live": OLD, "before": NEW}.get(said, said) if live == OLD else NEW
                self.wfile.write(f"{name} worker".encode())

    with serving(Handler) as port:
        releases.flags |= {
            "activation_url": f"http://127.0.0.1:{port}",
            "activation_timeout": 1,
            "activation_checks": [{"path": "/"}],
            "activation_proof_path": proof_path,
        }
        if said == "live":
            monkeypatch.setenv("DOCKER_HOST", f"unix://{releases.root}/no.sock")
            releases.flags["activation_containers"] = ["gone"]
        with pytest.raises(RevertedError if reverted else UnprovedError, match="answered 500"):
            promote.run(releases.context(), version=OLD)
    assert releases.store.pointer().version == (NEW if reverted else OLD)
    assert marks(releases) == ({OLD: "bad"} if reverted else {})


def test_what_fails_behind_the_way_back_does_not_hide_that_it_was_gone(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the words: which version is live then, and that the other one was marked before the switch."""

    def serve(self: Activation, version: str, *arguments: Any, **options: Any) -> Any:
        return Served("x", failing="/ answered 500") if version == OLD else failing_to_serve(self, version)

    def looked_at(context: Any, version: str, how: Any, *more: Any) -> Any:
        assert marks(releases) == ({OLD: "bad"} if how == "revert" else {})
        return make_live(context, version, how, *more)

    monkeypatch.setattr(Activation, "serve", serve)
    monkeypatch.setattr(go_live, "make_live", looked_at)
    with pytest.raises(RevertedError, match=f"{NEW} is live again. {NEW} is live, but it is not proved .*can't start"):
        promote.run(releases.context(), version=OLD)
    assert marks(releases) == {OLD: "bad"}
    assert releases.store.pointer().version == NEW


def test_a_way_back_is_told_which_commit_it_leads_to(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    report = releases.root / "told"
    releases.flags["activation_command"] = f"echo $GOVMA_VERSION $GOVMA_COMMIT >> {report}; exit 1"
    releases.flags["activation_on_unproved"] = "revert"
    with pytest.raises(UnprovedError):
        promote.run(releases.context(), version=OLD)
    monkeypatch.setattr(go_live, "_reason_to_revert", lambda *arguments: "not good")
    with pytest.raises(RevertedError):
        promote.run(releases.context(), version=NEW)
    assert report.read_text().splitlines() == [f"{name} {name}" for name in (OLD, NEW, OLD)]
