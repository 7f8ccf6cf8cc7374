"""What the CMS writes in place in the live version stays in that version, whatever was promoted and deduped before."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from govma_core.disk import dedupe
from govma_core.errors import RefusedError
from govma_core.promotion import promote, rollback
from tests.support.releases import NAMES, Releases
from tests.support.sites import Site, make_site

CONFIG, TEMPLATE, ENV = (
    "system/user/config/config.php",
    "system/user/templates/default_site/home.group/index.html",
    "system/user/config/.env",
)
WRITTEN = (CONFIG, TEMPLATE, ENV, "html/.htaccess", "system/user/cache/page")
PLAIN = "html/index.php"
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def write_in_place(path: Path, text: str) -> None:
    """Write as the CMS does: into the file that is there, from its beginning, and cut off what was longer."""
    with path.open("r+") as file:
        file.write(text)
        file.truncate()


class LiveSite(RuleBasedStateMachine):
    """Versions that begin equal; operations and writes of the CMS in any order."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="govma-in-place-", dir=_MEMORY)
        self.releases = Releases(Path(self._folder.name) / "site")
        self.expected: dict[tuple[str, str], str] = {}
        self.live = ""
        self.writes = 0

    def teardown(self) -> None:
        self._folder.cleanup()

    @initialize()
    def two_versions(self) -> None:
        self._add(NAMES[0])
        self._add(NAMES[1])
        promote.run(self.releases.context(), version=NAMES[1])
        self.live = NAMES[1]

    @precondition(lambda self: len(self.names) < 6)
    @rule()
    def another_version(self) -> None:
        self._add(NAMES[len(self.names)])

    @rule(path=st.sampled_from(WRITTEN))
    def write(self, path: str) -> None:
        self.writes += 1
        self.expected[self.live, path] = f"write {self.writes} " * (self.writes % 7 + 1)
        write_in_place(self.releases.directory / "current-version" / path, self.expected[self.live, path])

    @rule(path=st.sampled_from(WRITTEN), data=st.data())
    def write_what_another_version_has(self, path: str, data: st.DataObject) -> None:
        text = self.expected[data.draw(st.sampled_from(self.names)), path]
        write_in_place(self.releases.directory / "current-version" / path, text)
        self.expected[self.live, path] = text

    @rule(anywhere=st.booleans())
    def dedupe(self, anywhere: bool) -> None:
        dedupe.run(self.releases.context(), anywhere=anywhere)

    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        self.live = data.draw(st.sampled_from(self.names))
        promote.run(self.releases.context(), version=self.live)

    @rule()
    def rollback(self) -> None:
        try:
            self.live = rollback.run(self.releases.context()).version
        except RefusedError:
            # Nothing was live before.
            assert self.releases.store.pointer().version == self.live

    @invariant()
    def every_version_has_what_was_written_in_it(self) -> None:
        for (version, path), text in self.expected.items():
            assert (self.releases.directory / version / path).read_text() == text, (version, path)

    @invariant()
    def the_live_version_has_these_files_for_itself(self) -> None:
        if self.live:
            for path in WRITTEN:
                assert (self.releases.directory / self.live / path).stat().st_nlink == 1, path

    @property
    def names(self) -> list[str]:
        return sorted({version for version, _ in self.expected})

    def _add(self, name: str) -> None:
        for path in (*WRITTEN, PLAIN):
            file = self.releases.directory / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"as published: {path}")
            self.expected[name, path] = file.read_text()


TestLiveSite = pytest.mark.slow(LiveSite.TestCase)
TestLiveSite.settings = settings(max_examples=30, stateful_step_count=25, suppress_health_check=list(HealthCheck))


def test_a_write_stays_in_its_version_from_deploy_to_rollback(tmp_path: Path) -> None:
    """The same with real deploys, which link a new version to the live one at its birth."""
    site = make_site(tmp_path / "site", files=30)
    paths = _written_in_place(site, site.deploy().version)
    expected: dict[tuple[str, str], bytes] = {}

    def known(version: str) -> None:
        expected.update({(version, path): (site.settings.versions_dir / version / path).read_bytes() for path in paths})

    def write(text: str) -> None:
        live = site.current.name
        for path in paths:
            write_in_place(site.current / path, f"{text}: {path}")
            expected[live, path] = f"{text}: {path}".encode()

    def check() -> None:
        contents = {key: (site.settings.versions_dir / key[0] / key[1]).read_bytes() for key in expected}
        assert contents == expected

    versions = [site.current.name, site.deploy().version, site.deploy().version]
    for version in versions:
        known(version)
    dedupe.run(site.context())
    first, second = (site.settings.versions_dir / version for version in versions[:2])
    assert all((first / path).samefile(second / path) for path in paths), "those that are not live share"
    write("in the third")
    check()
    site.rollback(versions[1])
    write("in the second")
    check()
    dedupe.run(site.context(), anywhere=True)
    write("after a dedupe")
    known(site.deploy(rebuild=True, force=True).version)
    write("in the fourth")
    check()
    site.promote(versions[0])
    write("in the first")
    check()
    assert any(path.stat().st_nlink > 1 for path in site.current.rglob("*.php")), "others are linked all the same"


def _written_in_place(site: Site, version: str) -> list[str]:
    root = site.settings.versions_dir / version
    config = ["system/user/config/config.php"]
    templates = sorted(str(path.relative_to(root)) for path in (root / "system/user/templates").rglob("*.html"))
    assert (root / config[0]).is_file()
    assert templates
    return config + templates[:3]


def test_a_file_that_is_being_written_is_not_replaced_under_its_writer(tmp_path: Path) -> None:
    """The live version by another way than a promotion, and promoted again while the CMS has its config open."""
    releases = Releases(tmp_path / "site")
    for name in NAMES[:2]:
        for path in WRITTEN:
            file = releases.directory / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("as published")
        (releases.directory / name / "html").mkdir(exist_ok=True)
    dedupe.run(releases.context())
    releases.live(NAMES[1])
    config = releases.directory / "current-version" / CONFIG
    assert config.stat().st_nlink == 2
    with config.open("r+") as opened:
        promote.run(releases.context(), version=NAMES[1])
        warnings = releases.log("warning")
        opened.write("by the CMS!!")
    assert config.read_text() == "by the CMS!!"
    assert CONFIG in warnings, "an operator is told that it still is shared"
    for path in WRITTEN:
        if path != CONFIG:
            assert (releases.directory / NAMES[1] / path).stat().st_nlink == 1
