"""The build on this machine: as the build's user, with node_modules moved in and out, and nothing left running."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.deploy.directories import examine
from govma_core.errors import BuildError, CommandError
from govma_core.process import descendants
from tests.support.builder_contract import BuilderContract
from tests.support.builds import Place, alive
from tests.support.builds import place as made_place
from tests.support.rights import as_root
from tests.support.waiting import wait_for

DAEMON = "(setsid sh -c 'echo $$ > pid; while :; do echo tick > tick; sleep 0.01; done' {streams} &)"
UNTIL_TICK = "until [ -s tick ]; do sleep 0.01; done"


@pytest.fixture
def place() -> Iterator[Place]:
    with made_place(builder="local") as place:
        yield place


def fill(directory: Path, place: Place) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "package").write_text("kept")
    if os.geteuid() == 0:
        os.chown(directory, *place.settings.build_owner)
        os.chown(directory / "package", *place.settings.build_owner)


class TestLocalBuilder(BuilderContract):
    """The common tests, and no process left after any of them."""

    @pytest.fixture(autouse=True)
    def _nothing_left(self, place: Place) -> Iterator[None]:
        before = descendants.Descendants()
        yield
        assert before.end() == []
        mark = f"GOVMA_BUILD_FOR={place.settings.versions_dir}"
        assert descendants.left(mark, place.settings.build_uid, [place.work, place.cache]) == []


@pytest.mark.parametrize("streams", [">/dev/null 2>&1", ""], ids=["quiet", "holding the pipe"])
def test_a_daemon_that_escaped_does_not_outlive_the_build(place: Place, streams: str) -> None:
    place.build(f"{DAEMON.format(streams=streams)}; {UNTIL_TICK}")
    assert not alive(int((place.work / "pid").read_text()))


def test_a_daemon_that_fills_the_pipe_does_not_keep_the_build_going(place: Place) -> None:
    place.build("(setsid sh -c 'echo $$ > pid; exec yes' &); until [ -s pid ]; do sleep 0.01; done")
    assert not alive(int((place.work / "pid").read_text()))


def test_a_daemon_of_a_failing_build_is_ended_too(place: Place) -> None:
    with pytest.raises(BuildError, match="exit code 3"):
        place.build(f"{DAEMON.format(streams='')}; {UNTIL_TICK}; exit 3")
    assert not alive(int((place.work / "pid").read_text()))


def test_no_process_of_a_build_sees_another_one_killed(tmp_path: Path) -> None:
    """It could put a new one in its place, and so for ever."""
    notice = tmp_path / "seen"
    watch = (
        "import os, select, sys; fd = os.pidfd_open(int(sys.argv[1])); print(flush=True); select.select([fd], [], [])"
    )
    with descendants.contained() as below:
        sleeping = [subprocess.Popen(["sleep", "1000"]) for _ in range(50)]
        line = [sys.executable, "-c", f"{watch}; open(sys.argv[2], 'w')", str(sleeping[0].pid), str(notice)]
        watching = subprocess.Popen(line, stdout=subprocess.PIPE)
        assert watching.stdout is not None
        watching.stdout.readline()
        assert len(below.end()) == 51
        watching.stdout.close()
    for process in (*sleeping, watching):
        process.wait()
    assert not notice.exists()


def test_what_cannot_be_ended_in_time_is_not_left_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descendants, "_PATIENCE", -1.0)
    below = descendants.Descendants()
    with subprocess.Popen(["sleep", "1000"]) as process:
        try:
            with pytest.raises(CommandError, match=rf"{process.pid} \(sleep\)"):
                below.end()
            wait_for(lambda: not alive(process.pid), "the end of what was stopped")
        finally:
            process.kill()


def test_the_subreaper_flag_is_given_back_and_children_from_before_are_spared(place: Place) -> None:
    pid = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)
    try:
        place.build("echo done")
        assert alive(pid)
        with descendants.contained():
            pass
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_node_modules_is_there_in_the_build_and_kept_after_it(place: Place) -> None:
    fill(place.cache, place)
    place.build("cat node_modules/package; [ ! -L node_modules ] && echo more > node_modules/new")
    assert place.lines() == ["kept"]
    assert (place.cache / "new").read_text() == "more\n"
    assert not (place.work / "node_modules").exists()


def test_a_first_build_makes_what_is_kept(place: Place) -> None:
    place.build("mkdir node_modules; echo made > node_modules/package")
    assert (place.cache / "package").read_text() == "made\n"


def test_node_modules_is_kept_when_the_build_fails_or_takes_too_long(place: Place) -> None:
    fill(place.cache, place)
    with pytest.raises(BuildError, match="exit code 1"):
        place.build("false")
    assert (place.cache / "package").exists()
    place.set(build_timeout=1)
    with pytest.raises(BuildError, match="build_timeout"):
        place.build("sleep 1000")
    assert (place.cache / "package").exists()


@as_root
@pytest.mark.root
@pytest.mark.parametrize("foreign", ["scope", "scope/package", "."])
def test_a_node_modules_in_which_npm_ran_as_root_is_put_aside(place: Place, foreign: str) -> None:
    """Guards builds against files that their user cannot replace, and which are not his to be given."""
    fill(place.cache, place)
    fill(place.cache / "scope", place)
    (place.cache / "link").symlink_to("package")
    place.build("cp node_modules/package node_modules/new")
    assert place.lines("warning") == []
    os.chown(place.cache / foreign, 0, 0)
    place.build("mkdir node_modules", "echo made > node_modules/package")
    (warning,) = place.lines("warning")
    assert f"holds {foreign!r}" in warning
    assert (place.cache / "package").read_text() == "made\n"
    aside = Path(warning.rpartition(" ")[2])
    assert (aside / foreign).stat().st_uid == 0
    assert (aside / "new").read_text() == "kept"
    assert aside.parent == place.cache.parent
    # The doctor goes on naming it.
    findings = [each for each in examine(place.settings) if each.what == "node_modules_dir"]
    assert [(each.state, each.command) for each in findings[1:]] == [("note", f"rm -r {aside}")]


@pytest.mark.parametrize("left", ["ln -s {root}/treasure node_modules", "echo file > node_modules"])
def test_a_node_modules_that_is_no_directory_is_not_followed_or_kept(place: Place, left: str) -> None:
    (place.root / "treasure").mkdir()
    (place.root / "treasure/gold").touch()
    fill(place.cache, place)
    place.build("rm -rf node_modules", left.format(root=place.root))
    assert not os.path.lexists(place.cache)
    assert (place.root / "treasure/gold").exists()
    assert any("not kept" in line for line in place.lines("warning"))


def test_a_kept_directory_that_is_a_link_is_left_alone(place: Place) -> None:
    fill(place.root / "elsewhere", place)
    place.cache.symlink_to("elsewhere")
    place.build("[ ! -e node_modules ]")
    assert place.cache.is_symlink()
    assert (place.root / "elsewhere/package").exists()
    assert len([line for line in place.lines("warning") if "building without it" in line]) == 1


def test_a_kept_directory_on_another_file_system_is_said_once(place: Place) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert os.stat(other).st_dev != os.stat(place.root).st_dev, "this test needs two file systems"
        place.set(node_modules_dir=Path(other, "kept"))
        fill(place.cache, place)
        place.build("[ ! -e node_modules ] && mkdir node_modules")
        assert (place.cache / "package").exists()
    assert len(place.lines("warning")) == 1
    assert "Invalid cross-device link" in place.lines("warning")[0]


_UNDUMPABLE = "import ctypes, time; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); print('shut', flush=True); time.sleep(1000)"


@pytest.mark.parametrize(
    "daemon",
    [
        "setsid sleep 1000",
        pytest.param("env -i setsid sleep 1000", marks=[as_root, pytest.mark.root]),
        pytest.param("env -i sh -c 'exec 3>open; cd /; exec setsid sleep 1000'", marks=[as_root, pytest.mark.root]),
        f'setsid /usr/bin/python3 -c "{_UNDUMPABLE}" > shut',
    ],
    ids=["plain", "without environment", "elsewhere with an open file", "undumpable"],
)
def test_what_a_killed_run_left_is_ended_and_its_node_modules_kept(place: Place, daemon: str) -> None:
    fill(place.cache, place)
    wait = f"until [ -s {'shut' if 'shut' in daemon else 'daemon'} ]; do sleep 0.01; done"
    script = f"echo $$ > pid; ({daemon} & echo $! > daemon); {wait}; echo ready; sleep 1000"
    with place.detached(script) as process:
        assert process.stdout is not None
        wait_for(lambda: process.stdout and process.stdout.readline() == "ready\n", "the build's line")
    pids = [int((place.work / name).read_text()) for name in ("pid", "daemon")]
    assert [alive(pid) for pid in pids] == [True, True]
    assert not place.cache.exists()

    place.builder.remove_leftovers(place.reporter)

    assert [alive(pid) for pid in pids] == [False, False]
    assert (place.cache / "package").read_text() == "kept"
    assert any(f"Ended process {pids[0]} " in line for line in place.lines("warning"))
    place.events.clear()
    place.builder.remove_leftovers(place.reporter)
    assert place.events == []


@as_root
@pytest.mark.root
def test_processes_of_others_and_those_at_a_terminal_are_spared(place: Place) -> None:
    place.lend()
    uid = place.settings.build_uid
    elsewhere = place.root / "work-of-another-site"
    elsewhere.mkdir()
    marked = {"GOVMA_BUILD_FOR": "/srv/other/www_versions"}
    with (
        subprocess.Popen(["sleep", "1000"], cwd=place.work) as ours,
        subprocess.Popen(["sleep", "1000"], cwd=elsewhere, user=uid, group=uid, extra_groups=(), env=marked) as other,
    ):
        person, terminal = pty.fork()
        if person == 0:
            try:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                os.chdir(place.work)
                os.execv("/bin/sh", ["sh", "-c", "echo ready; exec sleep 1000"])
            finally:
                os._exit(1)
        try:
            assert os.read(terminal, 5) == b"ready"
            place.builder.remove_leftovers(place.reporter)
            assert [alive(pid) for pid in (ours.pid, other.pid, person)] == [True, True, True]
            assert [line.split(" ")[1] for line in place.lines("warning")] == [str(person)]
        finally:
            for pid in (ours.pid, other.pid, person):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(person, 0)
            os.close(terminal)


@as_root
@pytest.mark.root
@pytest.mark.parametrize("theirs", [True, False], ids=["its own", "the same"])
def test_one_in_a_container_is_ended_only_where_the_directory_is_ours(place: Place, theirs: bool) -> None:
    """Guards processes of the same uid that stand at the path of the work dir in a tree of their own."""
    place.lend()
    mount = f"mount -t tmpfs none {place.work}; " if theirs else ""
    script = f"{mount}cd {place.work}; echo ready; exec setpriv --reuid {place.settings.build_uid} sleep 1000"
    line = ["unshare", "--mount", "sh", "-c", script]
    with subprocess.Popen(line, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            uid = f"Uid:\t{place.settings.build_uid}\t"
            wait_for(lambda: uid in Path(f"/proc/{process.pid}/status").read_text(), "the user of the build")
            place.builder.remove_leftovers(place.reporter)
            assert alive(process.pid) is theirs
        finally:
            process.kill()


def test_a_link_in_the_work_dir_is_not_taken_for_a_left_node_modules(place: Place) -> None:
    place.lend()
    fill(place.root / "treasure", place)
    (place.work / "node_modules").symlink_to(place.root / "treasure")
    place.builder.remove_leftovers(place.reporter)
    assert not os.path.lexists(place.cache)
    assert place.events == []


def test_a_kept_directory_with_content_is_not_replaced_by_a_left_one(place: Place) -> None:
    place.lend()
    fill(place.work / "node_modules", place)
    fill(place.cache, place)
    (place.cache / "package").write_text("newer")
    place.builder.remove_leftovers(place.reporter)
    assert (place.cache / "package").read_text() == "newer"


def test_nothing_is_left_over_where_there_is_no_work_dir(place: Place) -> None:
    place.builder.remove_leftovers(place.reporter)
    assert place.events == []


def test_preflight_names_the_programs_that_are_missing(place: Place) -> None:
    place.set(install_command="no-such-installer install", build_commands=("true", "cd x && y", "no-such-tool"))
    problems = place.builder.preflight()
    assert [problem.split(",")[0] for problem in problems] == [
        "The build needs no-such-installer",
        "The build needs no-such-tool",
    ]


@as_root
@pytest.mark.root
def test_preflight_sees_that_the_build_user_cannot_reach_the_work_dir(place: Place) -> None:
    place.set(install_command="true", build_commands=())
    assert place.builder.preflight() == []
    place.root.chmod(0o700)
    (problem,) = place.builder.preflight()
    assert str(place.root) in problem


@as_root
@pytest.mark.root
def test_the_build_has_no_groups_and_no_rights_of_ours(place: Place) -> None:
    place.build("id -u; id -G; grep CapEff /proc/self/status; cat /etc/shadow 2>/dev/null || echo refused")
    assert place.lines() == ["1000", "1000", "CapEff:    0000000000000000", "refused"]


@as_root
@pytest.mark.root
def test_a_user_without_home_gets_the_work_dir(place: Place) -> None:
    place.set(build_uid=54321, build_gid=54321)
    place.build("echo $HOME; touch $HOME/mine")
    assert place.lines() == [str(place.work)]


def test_the_environment_is_identified_by_the_tools_in_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = place.root / "bin"
    tools.mkdir()
    (tools / "node").write_text("#!/bin/sh\necho v1.2.3\n")
    (tools / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    first = place.builder.prepare(Path("/a/folder/that/nobody/reads"), place.reporter)
    assert "node v1.2.3" in first
    assert first == place.builder.prepare(None, place.reporter)
    assert len(place.lines("info")) == 1
