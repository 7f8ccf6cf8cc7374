"""What a promotion says and writes down when the link, the history or the way back are not as expected."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from govma_core.disk.unshare import Unshared
from govma_core.errors import PublishError, RevertedError, UnprovedError
from govma_core.promotion import go_live, promote, rollback
from govma_core.promotion.activation import Activation, Served
from govma_core.promotion.go_live import make_live
from govma_core.versions.history import History, Promotion, Result
from govma_core.versions.marks import Mark, MarkStore
from tests.support.handlers import QuietHandler, serving
from tests.support.leased import leased
from tests.support.releases import NAMES, Releases

OLD, NEW = NAMES[:2]
FAILING = Served("x", failing="/ answered 500", judged=True)
ASKED = {"activation_url": "http://127.0.0.1:1"}


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    releases = Releases(tmp_path / "site")
    releases.add(OLD, NEW, result="published")
    releases.live(NEW)
    return releases


def serve(monkeypatch: pytest.MonkeyPatch, see: Callable[[str], Served]) -> None:
    """Have `see` say what is served of a version, instead of asking."""
    monkeypatch.setattr(Activation, "serve", lambda self, version, *arguments, **options: see(version))


def results(releases: Releases) -> list[tuple[str, str]]:
    entries = History(releases.state).entries()
    return [(entry.of, entry.result) for entry in entries if isinstance(entry, Result)]


def marks(releases: Releases) -> dict[str, str]:
    return {name: mark.reason for name, mark in MarkStore(releases.state).read().items()}


@contextmanager
def pages(releases: Releases, status: Callable[[str | None], int]) -> Iterator[list[str | None]]:
    """Serve what is live, and check a page that has a status by that; give what was live each time it was asked for."""
    asked: list[str | None] = []

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            live = releases.store.pointer().version
            is_page = self.path.startswith("/page?")
            asked.extend([live] if is_page else [])
            self.send_response(status(live) if is_page else 200)
            self.end_headers()
            self.wfile.write(f"{live} worker".encode())

    with serving(Handler) as port:
        releases.flags |= {"activation_url": f"http://127.0.0.1:{port}", "activation_checks": [{"path": "/page"}]}
        yield asked


@pytest.mark.parametrize("before", [OLD, None])
def test_there_is_no_way_back_to_the_version_itself_nor_to_none(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, before: str | None
) -> None:
    """Guards a link that a hook or a person sets during the promotion: "back" would be where it is, marked as bad."""

    def hook(context: Any, moment: str, environment: Any) -> None:
        (releases.directory / "current-version").unlink()
        if before:
            releases.live(before)

    monkeypatch.setattr("govma_core.hooks.before", hook)
    serve(monkeypatch, lambda version: FAILING)
    with pytest.raises(UnprovedError, match=r"500.* There is no version to switch back to"):
        promote.run(releases.context(), version=OLD)
    assert (releases.store.pointer().version, marks(releases)) == (OLD, {})


def test_a_version_is_gone_back_from_once_and_the_history_has_both(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards `on_failure = "revert"` where the version before does not answer any more, either."""
    serve(monkeypatch, lambda version: FAILING)
    with pytest.raises(RevertedError) as raised:
        promote.run(releases.context(), version=OLD)
    words = str(raised.value)
    assert re.search(
        rf"{OLD} was live for \d s and is not any more: .*500\. {NEW} is live again\. {NEW} is live", words
    )
    entries = History(releases.state).entries()
    assert [(entry.version, entry.how) for entry in entries if isinstance(entry, Promotion)] == [
        (OLD, "promote"),
        (NEW, "revert"),
    ]
    assert [result for _, result in results(releases)] == ["live again: x"]
    serve(monkeypatch, lambda version: FAILING if version == OLD else Served("served"))
    with pytest.raises(RevertedError, match=rf"{NEW} is live again\.$"):
        promote.run(releases.context(), version=OLD)


def test_a_way_back_that_fails_is_told_with_the_version_that_stays_live(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(context: Any, name: str, how: Any, *more: Any) -> Any:
        if how == "revert":
            raise PublishError("current-version could not be switched: Input/output error.")
        return make_live(context, name, how, *more)

    monkeypatch.setattr(go_live, "make_live", failing)
    serve(monkeypatch, lambda version: FAILING)
    with pytest.raises(UnprovedError, match=f"{OLD} is live, .*500, and switching back failed: .*Input/output error"):
        promote.run(releases.context(), version=OLD)
    assert (releases.store.pointer().version, marks(releases)) == (OLD, {})


@pytest.mark.parametrize(("setting", "certain"), [("revert", True), ("revert", False), ("warn", True)])
def test_what_is_not_proved_is_gone_back_from_where_the_settings_say_so_and_a_proof_would_have_worked(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, setting: str, certain: bool
) -> None:
    releases.flags["activation_on_unproved"] = setting
    serve(monkeypatch, lambda version: Served("x", unproved="nobody answered.", certain=certain))
    expected = RevertedError if (setting, certain) == ("revert", True) else UnprovedError
    with pytest.raises(expected) as raised:
        promote.run(releases.context(), version=OLD)
    assert type(raised.value) is expected
    if expected is UnprovedError:
        assert str(raised.value).endswith("nobody answered. Look at the site. `govma-console rollback` goes back.")
    with pytest.raises(UnprovedError, match=r"nobody answered\. Look at the site\.$"):
        rollback.run(releases.context(), version=OLD if expected is RevertedError else NEW)


def test_what_failed_before_speaks_against_no_promotion_and_is_not_asked_before_a_rollback(releases: Releases) -> None:
    """Guards the operator who goes back because of that page, and is to know that it fails there, too."""
    with pages(releases, lambda live: 500) as asked:
        promote.run(releases.context(), version=OLD)
        assert "but that was so before the switch, too" in releases.log("warning")
        assert asked == [NEW, NEW, OLD, OLD], "what fails is asked once more"
        asked.clear()
        with pytest.raises(UnprovedError, match=f"{NEW} is live, but it does not answer as it must: .*500"):
            rollback.run(releases.context(), version=NEW)
        assert asked == [NEW, NEW]


def test_the_way_back_is_taken_without_a_look_at_the_pages(releases: Releases) -> None:
    """Guards visitors from waiting while pages are asked that hang."""
    with pages(releases, lambda live: 500 if live == OLD else 200) as asked:
        with pytest.raises(RevertedError):
            promote.run(releases.context(), version=OLD)
        assert asked == [NEW, OLD, OLD]
    assert f"Switching back to {NEW}." in releases.log("error")


def test_a_history_that_cannot_be_written_leaves_the_switch_as_it_is(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(History, "append", full)
    promote.run(releases.context(), version=OLD)
    assert releases.store.pointer().version == OLD
    assert releases.log("warning").endswith("could not be written to the history: No space left on device.")


def test_files_that_could_not_get_inodes_of_their_own_are_told_and_do_not_stop_it(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards going back without room for the copies, and the version that shares a file which the CMS writes."""
    unshared = Unshared(files=2, still_shared={"system/user/a": "No space left", "system/user/b": "No space left"})
    monkeypatch.setattr(go_live, "unshare", lambda *arguments: unshared)
    promote.run(releases.context(), version=OLD)
    assert releases.store.pointer().version == OLD
    assert "2 files that are written in place got inodes of their own." in releases.log("info")
    (warning,) = releases.log("warning").splitlines()
    assert f"2 files of {OLD} that are written in place still share" in warning
    assert "(system/user/a: No space left)" in warning
    unshared = Unshared()
    promote.run(releases.context(), version=NEW)
    assert "inodes of their own" not in releases.log()


def test_css_that_kept_its_time_is_told_with_the_reason(releases: Releases) -> None:
    """Guards visitors with a new page and an old style sheet: nobody would know why."""
    file = releases.directory / OLD / "system/user/held.css"
    file.write_text("a {}")
    with leased(file):
        promote.run(releases.context(), version=OLD)
    warnings = releases.log("warning")
    assert "1 css/js files kept their time (held.css: Resource temporarily unavailable)" in warnings
    assert "(was " + NEW + ")" in releases.log("info")
    promote.run(releases.context(), version=NEW)
    assert releases.log("warning") == ""


def test_what_is_proved_again_is_noted_with_the_promotion_that_made_it_live(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the history of another version's promotion, after a switch by hand."""
    releases.flags |= ASKED
    history = History(releases.state)
    history.append(Promotion(1.0, NEW, OLD, "deploy", "ana", "first"))
    history.append(Promotion(2.0, OLD, NEW, "promote", "ana", "second"))
    serve(monkeypatch, lambda version: Served("served after 0.1 s"))
    assert promote.run(releases.context(), version=NEW).message == f"{NEW} is live already; served after 0.1 s."
    assert results(releases) == []
    history.append(Promotion(3.0, NEW, OLD, "rollback", "ana", "third"))
    promote.run(releases.context(), version=NEW)
    assert results(releases) == [("third", "served after 0.1 s")]
    MarkStore(releases.state).write(Mark(NEW, "bad", "x", "ana", 1.0, "r"))
    serve(monkeypatch, lambda version: FAILING)
    with pytest.raises(UnprovedError, match=rf"{NEW} is live, but it does not .*500\. Look at the site\.$"):
        promote.run(releases.context(), version=NEW)
    assert [result for _, result in results(releases)][1:] == ["it does not answer as it must: / answered 500"]
    assert marks(releases) == {}, "it stays live on purpose"
    serve(monkeypatch, lambda version: Served("", has_result=False))
    promote.run(releases.context(), version=NEW)
    assert len(results(releases)) == 2


def test_where_nobody_is_to_be_asked_what_is_live_is_told_so_and_forgiven(
    releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    MarkStore(releases.state).write(Mark(NEW, "bad", "x", "ana", 1.0, "r"))
    serve(monkeypatch, lambda version: pytest.fail("nobody is to be asked"))
    assert promote.run(releases.context(), version=NEW).message == f"{NEW} is live already; nothing to do."
    assert marks(releases) == {}


@pytest.mark.parametrize("is_good", [True, False])
def test_the_last_hook_is_told_whether_it_is_served(
    releases: Releases, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    calls: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "govma_core.hooks.after", lambda context, moment, variables: calls.append((moment, variables["GOVMA_SERVED"]))
    )
    serve(monkeypatch, lambda version: Served("x", unproved="" if is_good else "nobody answered"))
    if is_good:
        promote.run(releases.context(), version=OLD)
    else:
        with pytest.raises(UnprovedError):
            promote.run(releases.context(), version=OLD)
    assert calls == [("post-promote", "yes" if is_good else "no")]
    result = "x" if is_good else "it is not proved that it is served: nobody answered"
    assert [text for _, text in results(releases)] == [result]
