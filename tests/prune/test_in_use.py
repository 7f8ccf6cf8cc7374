"""What uses a version: processes, mounts of other namespaces, containers and links; and what does not count."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from govma_core.engine.containers import container_mounts
from govma_core.errors import EngineError
from govma_core.prune.in_use import in_use, links_to_versions, versions_in, versions_on_paths
from tests.support.engine import Engine
from tests.support.mounts import small_file_system
from tests.support.rights import as_root
from tests.support.sleeper import sleeping

OLD, NEW = "data-build--2019-05-06-07h08m09s", "data-build--2019-06-07-08h09m10s"
WAIT = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    for name in (OLD, NEW, f"{OLD}.bak", ".govma-removed-0123456789abcdef"):
        (tmp_path / "www_versions" / name / "html").mkdir(parents=True)
        (tmp_path / "www_versions" / name / "html/index.php").write_text("x" * 5000)
    return tmp_path / "www_versions"


def users(versions: Path) -> dict[str, list[str]]:
    return in_use(versions, [OLD, NEW])


@contextmanager
def process(*command: str, cwd: Path | str = "/") -> Iterator[int]:
    """Run a command that prints its pid once it is in its directory, and waits for the end of its input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line, "the process did not come up"
        try:
            yield int(line)
        finally:
            running.kill()


def python(code: str = "", *arguments: str | Path) -> list[str]:
    return [sys.executable, "-c", f"{code}\n{WAIT}", *map(str, arguments)]


def test_without_a_process_in_them_versions_are_unused(versions: Path) -> None:
    assert users(versions) == {}


def test_a_working_directory_is_a_use(versions: Path) -> None:
    with process(*python(), cwd=versions / OLD / "html") as pid:
        (who,) = users(versions)[OLD]
        assert who.endswith(f"(pid {pid}): working directory")
        assert NEW not in users(versions)
    assert users(versions) == {}


OPEN = "import sys; file = open(sys.argv[1])"
MAPPED = (
    "import ctypes, os, sys; fd = os.open(sys.argv[1], os.O_RDONLY)\n"
    # Python's own mmap would keep the descriptor.
    "ctypes.CDLL(None).mmap(None, ctypes.c_size_t(5000), 1, 2, fd, ctypes.c_long(0)); os.close(fd)"
)
REMOVED = OPEN + "; import os; os.unlink(sys.argv[1])"


@pytest.mark.parametrize(("code", "what"), [(OPEN, "open file"), (REMOVED, "open file"), (MAPPED, "mapped file")])
def test_a_file_that_is_open_or_mapped_is_a_use(versions: Path, code: str, what: str) -> None:
    with process(*python(code, versions / OLD / "html/index.php")):
        (who,) = users(versions)[OLD]
        assert who.endswith(what)


def test_a_use_by_this_process_or_its_parents_does_not_count(versions: Path) -> None:
    """Guards a prune that an operator starts from inside a version."""
    with (versions / OLD / "html/index.php").open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ):
        assert users(versions) == {}
        code = (
            "import sys; from pathlib import Path; from govma_core.prune.in_use import in_use\n"
            f"sys.exit(len(in_use(Path(sys.argv[1]), ['{OLD}'])))"
        )
        child = [sys.executable, "-c", code, str(versions)]
        assert subprocess.run(child, cwd=Path.cwd(), check=False).returncode == 0


def test_another_process_of_this_program_is_not_a_use(versions: Path) -> None:
    file = versions / OLD / "html/index.php"
    with process(sys.executable, "-c", f"{OPEN}\n{WAIT}", str(file), "govma-console"):
        # The program's name is among the arguments, as when it is started with -m or by a script.
        assert users(versions) == {}


@pytest.mark.parametrize("place", [f"{OLD}.bak", ".govma-removed-0123456789abcdef", "."])
def test_a_process_beside_the_versions_uses_none(versions: Path, place: str) -> None:
    with process(*python(), cwd=versions / place):
        assert users(versions) == {}


def test_a_version_of_the_same_name_in_another_site_is_not_in_use(versions: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / OLD / "html"
    other.mkdir(parents=True)
    with process(*python(), cwd=other):
        assert users(versions) == {}


IN_A_VERSION = f'cd "$0/{OLD}/html" && exec 3<index.php && echo $$ && cat'


@as_root
def test_a_version_of_the_same_name_on_another_device_is_not_in_use(versions: Path, tmp_path: Path) -> None:
    """Guards two sites that deploy in the same second, each on a disk of its own."""
    other = tmp_path / "other"
    (other / OLD).mkdir(parents=True)
    site = f'mkdir -p "$0/{OLD}/html/mounted" && touch "$0/{OLD}/html/index.php"'
    script = f'mount -t tmpfs none "$0" && {site} && mount --bind "$0/{OLD}/html" "$0/{OLD}/html/mounted"'
    with process("unshare", "-m", "sh", "-c", f"{script} && {IN_A_VERSION}", str(other)) as pid:
        assert os.stat(f"/proc/{pid}/cwd").st_dev != versions.stat().st_dev
        assert users(versions) == {}


@as_root
def test_a_version_on_another_device_of_this_namespace_is_not_in_use(versions: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    with small_file_system(other, "1m"):
        (other / OLD / "html").mkdir(parents=True)
        assert versions_on_paths(versions, [OLD, NEW], [f"{other}/{OLD}", f"{versions}/{NEW}/html"]) == {NEW}
        with process(*python(), cwd=other / OLD / "html"):
            assert users(versions) == {}


@pytest.fixture
def in_doubt(versions: Path) -> str:
    """Return a version by a name that no other test has, of this suite or of another one on this machine.

    A process whose directory cannot be told from a version's uses each version of its name, wherever that is.
    """
    name = f"data-build--{os.getpid()}-07h08m09s"
    (versions / name / "html").mkdir(parents=True)
    (versions / name / "html/index.php").touch()
    return name


@as_root
def test_what_a_process_with_a_root_of_its_own_has_open_is_a_use_in_doubt(
    versions: Path, in_doubt: str, tmp_path: Path
) -> None:
    """Guards what a process in another namespace opened before its root was changed: it is at no path of its own."""
    code = f"{OPEN}; import os; os.chroot(sys.argv[2]); os.chdir('/')"
    with process("unshare", "-m", *python(code, versions / in_doubt / "html/index.php", tmp_path)):
        (who,) = in_use(versions, [in_doubt, NEW])[in_doubt]
        assert who.endswith("open file")


@as_root
def test_an_overlay_that_may_have_the_versions_below_it_is_a_use_in_doubt(
    versions: Path, in_doubt: str, tmp_path: Path
) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    layers = 'mkdir "$1/u" "$1/w" "$1/merged" && mount -t overlay -o "lowerdir=$0,upperdir=$1/u,workdir=$1/w"'
    script = f'mount -t tmpfs none "$1" && {layers} none "$1/merged" && set -- "$1/merged" && cd "$1/{in_doubt}/html"'
    with process("unshare", "-m", "sh", "-c", f"{script} && echo $$ && exec cat", str(versions), str(upper)):
        uses = in_use(versions, [in_doubt, NEW])
        (who,) = uses[in_doubt]
        assert who.endswith("working directory")
        assert NEW not in uses


@as_root
def test_a_layer_below_the_versions_is_a_use_in_doubt(versions: Path, in_doubt: str, tmp_path: Path) -> None:
    layers = f"lowerdir={versions},upperdir={tmp_path}/t/u,workdir={tmp_path}/t/w"
    with small_file_system(tmp_path / "t", "1m"):
        for name in ("u", "w", "merged"):
            (tmp_path / "t" / name).mkdir()
        merged = tmp_path / "t/merged"
        subprocess.run(["mount", "-t", "overlay", "-o", layers, "none", merged], check=True)
        try:
            with process("sh", "-c", "echo $$ && cat", cwd=versions / in_doubt / "html"):
                assert list(in_use(merged, [in_doubt])) == [in_doubt]
        finally:
            subprocess.run(["umount", merged], check=True)


@as_root
def test_a_mount_that_another_one_covers_is_a_use(versions: Path, tmp_path: Path) -> None:
    point = tmp_path / "inside"
    point.mkdir()
    script = f'mount --bind "{versions / OLD}" "{point}" && mount -t tmpfs none "{point}" && echo $$ && cat'
    with process("unshare", "-m", "sh", "-c", script):
        (who,) = users(versions)[OLD]
        assert who.startswith(f"a mount at {point} in the namespace of ")


def test_processes_that_end_during_the_scan_are_passed_over(versions: Path) -> None:
    # Not started by threads of this process: a child has all its open files for a moment.
    with process("sh", "-c", f'cd "{versions / NEW}" && echo $$ && while :; do /bin/true; done'):
        for _ in range(40):
            assert OLD not in users(versions)


@as_root
def test_a_process_in_another_mount_namespace_is_a_use(versions: Path, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    script = f'mount --bind "{versions}" "{tmp_path}/inside" && cd "{tmp_path}/inside/{OLD}/html" && echo $$ && cat'
    with process("unshare", "-m", "sh", "-c", script) as pid:
        assert os.readlink(f"/proc/{pid}/cwd") == f"{tmp_path}/inside/{OLD}/html"
        assert any(who.startswith("sh ") and "working directory" in who for who in users(versions)[OLD])
        assert NEW not in users(versions)


@as_root
@pytest.mark.parametrize("below", ["", "/html"])
def test_a_bind_mount_of_a_version_is_a_use_wherever_it_is(versions: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "inside").mkdir()
    (versions / "current-version").symlink_to(OLD)
    source = f"{versions}/current-version{below}"
    script = f'mount --bind "{source}" "{tmp_path}/inside" && echo $$ && cat'
    with process("unshare", "-m", "sh", "-c", script) as pid:
        # The link leads elsewhere by now: only the kernel knows what was mounted.
        (versions / "current-version").unlink()
        (versions / "current-version").symlink_to(NEW)
        (who,) = users(versions)[OLD]
        assert who.startswith(f"a mount at {tmp_path}/inside in the namespace of ")
        assert f"(pid {pid})" in who
        assert NEW not in users(versions)


@as_root
def test_a_mount_inside_a_version_is_a_use(versions: Path) -> None:
    point = versions / OLD / "html"
    with small_file_system(point, "1m"):
        assert users(versions) == {OLD: [f"a mount at {point}"]}


def test_links_of_the_operator_to_a_version_are_listed_and_ours_are_not(versions: Path) -> None:
    for name, target in {
        "current-version": OLD,
        ".govma-link-0123456789abcdef": OLD,
        "staging": f"{NEW}/html",
        "absolute": str(versions / NEW),
        "elsewhere": "/etc",
        "odd": f"{OLD}.bak",
    }.items():
        (versions / name).symlink_to(target)
    assert links_to_versions(versions, [OLD, NEW]) == {NEW: ["absolute", "staging"]}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"/var/www/versions/{OLD}/html", [OLD]),
        (f"/x/{OLD}", [OLD]),
        (f"/x/{OLD} (deleted)", [OLD]),
        (f"lowerdir=/a/{OLD}:/b/{NEW},upperdir=/c", [OLD, NEW]),
        (f"/x/{OLD}.bak/html", []),
        (f"/x/old-{OLD}/html", []),
        (f"{OLD}/html", []),
    ],
)
def test_a_version_is_a_whole_component_of_a_path(text: str, names: list[str]) -> None:
    assert [name for name, _ in versions_in(text.encode())] == names


@as_root
@pytest.mark.usefixtures("docker_engine")
def test_a_running_container_uses_what_it_has_mounted(
    versions: Path, docker_engine: Engine, busybox_image: str
) -> None:
    with sleeping(
        docker_engine,
        busybox_image,
        name=f"govma-in-use-{os.getpid()}",
        volumes={f"{versions}/{OLD}/html": {"bind": "/site", "mode": "ro"}, "/etc": {"bind": "/x", "mode": "ro"}},
    ) as container:
        (mounts,) = [mounts for mounts in container_mounts() if mounts.name == container.name]
        assert versions_on_paths(versions, [OLD, NEW], mounts.sources) == {OLD}
        # Seen without the engine, too.
        assert any("a mount at /site in the namespace of" in who for who in users(versions)[OLD])
        container.pause()
        assert container.name in [mounts.name for mounts in container_mounts()]
        container.unpause()
        container.kill()
        assert container.name not in [mounts.name for mounts in container_mounts()]


@as_root
@pytest.mark.usefixtures("docker_engine")
def test_a_process_in_a_container_is_a_use_by_its_path_inside(
    versions: Path, docker_engine: Engine, busybox_image: str
) -> None:
    with sleeping(
        docker_engine,
        busybox_image,
        working_dir=f"/var/www/versions/{OLD}/html",
        volumes={str(versions): {"bind": "/var/www/versions", "mode": "rw"}},
    ):
        (who,) = users(versions)[OLD]
        assert who.endswith("working directory")
        # Another site's container, the same path inside.
        other = versions.parent / "other"
        (other / OLD).mkdir(parents=True)
        assert in_use(other, [OLD]) == {}


def test_a_missing_engine_has_no_mounts_and_one_that_does_not_answer_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    assert container_mounts() == []
    (tmp_path / "dead.sock").touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/dead.sock")
    with pytest.raises(EngineError, match=r"does not answer at .*dead\.sock.*\(systemctl start docker\)\.$"):
        container_mounts()
