"""The fixtures that every test may use, and what a skip means."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from govma_console.output import hint_file
from govma_core.versions.store import VersionStore
from tests.support import workers
from tests.support.apache_image import apache_image
from tests.support.engine import Engine, EngineUnavailableError
from tests.support.engine_desk import engine_at
from tests.support.images import ImageUnavailableError, busybox_image
from tests.support.node_image import node_image
from tests.support.releases import Releases, eight_releases
from tests.support.rights import passable
from tests.support.sites import Site, make_site
from tests.support.small_store import small_store
from tests.support.systemd_image import systemd_image

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

# Seconds for a test that may have to wait until an image is made.
PATIENCE = {"docker_engine": 300, "busybox_image": 300, "node_image": 900, "systemd_image": 600, "apache_image": 600}
MARKS: dict[str, tuple[str, ...]] = {name: ("engine",) for name in PATIENCE}
MARKS |= {"node_image": ("engine", "node"), "systemd_image": ("engine", "slow", "each_debian")}

# How long an example takes is the machine's.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

# Started in the background, or with nohup, this process ignores these, and so would every command that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes `-n auto` means."""
    return workers.number()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Have one engine for all workers, which ends with this process."""
    workers.open_desk(config)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> workers.ByFile | None:
    """Share the tests out as the suite needs it, unless `--dist` says how."""
    return workers.ByFile(config, log) if config.getoption("dist") == "load" else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the engine is asked for."""
    workers.tell_worker(node.config, node.workerinput)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by the fixtures they use, and give them time for the making of those."""
    for item in items:
        names = [name for name in MARKS if name in getattr(item, "fixturenames", ())]
        for mark in {mark for name in names for mark in MARKS[name]}:
            item.add_marker(mark)
        if names and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(max(PATIENCE[name] for name in names)))
    if workers.engine_desk(config):
        items[:] = workers.in_order(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI is 'true' nothing is skipped: a test that would be has failed."""
    report = yield
    return _refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse the skip of a whole module, too."""
    report = yield
    return _refuse_skip(report)


def _refuse_skip(report: Report) -> Report:
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(CI=true: nothing may be skipped)"
    return report


@pytest.fixture(autouse=True)
def _no_advice_for_another_site() -> Iterator[None]:
    """Forget the settings file that a command, run in this process, has put into all advice."""
    yield
    hint_file(None)


@pytest.fixture(scope="session")
def docker_engine(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """Yield a real Docker engine, in DOCKER_HOST too; started for this session when none answers."""
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(engine_at(workers.engine_desk(pytestconfig)))
        except EngineUnavailableError as error:
            pytest.skip(str(error))
        if engine.private:
            stack.enter_context(pytest.MonkeyPatch.context()).setenv("DOCKER_HOST", engine.host)
        yield engine


def _image(make: Callable[[Engine], AbstractContextManager[str]]) -> Callable[[Engine], Iterator[str]]:
    """Make a fixture of the maker's name that gives the tag of an image; the maker says what is in it."""

    @pytest.fixture(scope="session", name=make.__name__)
    def image(docker_engine: Engine) -> Iterator[str]:
        with ExitStack() as stack:
            try:
                tag = stack.enter_context(make(docker_engine))
            except ImageUnavailableError as error:
                pytest.skip(str(error))
            yield tag

    return image


_busybox, _systemd = _image(busybox_image), _image(systemd_image)
_node, _apache = _image(node_image), _image(apache_image)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """Return pytest's directory with the way to it open: a build runs as another user, and must get there."""
    return passable(tmp_path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a sample site of the test's own."""
    return make_site(tmp_path / "site")


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    """Return eight releases, the last one live."""
    return eight_releases(tmp_path / "site")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a directory for what is written down about the small store."""
    path = tmp_path / "state"
    path.mkdir()
    return path


@pytest.fixture
def store(tmp_path: Path, state: Path) -> VersionStore:
    """Return a few small versions."""
    return small_store(tmp_path / "www_versions")
