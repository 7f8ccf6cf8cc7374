"""Back to an earlier version and forward again: what goes live, what is refused, and what browsers fetch again."""

from __future__ import annotations

import os

import pytest

from govma_core.errors import RefusedError
from govma_core.promotion import promote, rollback
from govma_core.versions.history import History
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import Site


def test_promote_and_rollback(site: Site) -> None:
    first = site.deploy().version
    site.sample.commit({"data/html/second.php": "<?php"}, "Segundo")
    second = site.deploy().version
    assert site.rollback().version == first
    assert site.current.name == first
    assert site.rollback().version == LEGACY
    assert site.promote(second).version == second
    assert [promotion.how for promotion in History(site.settings.state_dir).read()] == [
        "deploy",
        "deploy",
        "rollback",
        "rollback",
        "promote",
    ]


@pytest.mark.parametrize("kind", ["current", "missing", "incomplete", "no record"])
def test_a_rollback_that_makes_no_sense_is_refused_with_the_list(site: Site, kind: str) -> None:
    version = site.deploy().version
    (site.settings.versions_dir / "data-build--2020-01-01-00h00m00s").mkdir()
    target: str | None = {"current": version, "missing": "1999", "incomplete": "2020-01-01"}.get(kind)
    if kind == "no record":
        (site.settings.state_dir / "history.jsonl").unlink()
    with pytest.raises(RefusedError) as raised:
        site.rollback(target)
    assert LEGACY in str(raised.value)
    assert site.current.name == version


def test_a_rollback_freshens_css_and_js(site: Site) -> None:
    site.deploy()
    (css,) = list((site.settings.versions_dir / LEGACY / "system/user").rglob("*.css"))[:1]
    os.utime(css, (1, 1))
    site.rollback()
    assert css.stat().st_mtime > 1_000_000_000


def test_a_switch_that_was_confirmed_while_another_version_was_live_is_refused(site: Site) -> None:
    site.deploy()
    new = site.current.name
    for switch in (rollback, promote):
        with pytest.raises(RefusedError, match=f"{new} is live now, not {LEGACY}"):
            switch.run(site.context(), version=LEGACY, live_shown=LEGACY)
    assert site.current.name == new
    assert rollback.run(site.context(), version=LEGACY, live_shown=new).version == LEGACY
