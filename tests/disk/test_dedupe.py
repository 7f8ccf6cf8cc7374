"""Dedupe by the operator's view: large files, other paths, odd links and names, few descriptors, a dry run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from govma_core.disk import dedupe
from govma_core.disk.unshare import shared_files
from govma_core.errors import RefusedError
from govma_core.fs import safefs
from govma_core.runs.store import RunStore
from tests.support.releases import Releases

NAMES = [f"data-build--2021-09-0{day}-10h00m00s" for day in range(1, 6)]


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "site")


def write(releases: Releases, path: str, *contents: bytes) -> list[Path]:
    """Write one file to as many versions; the last of all versions is live."""
    places = []
    for name, content in zip(NAMES, contents, strict=False):
        place = releases.directory / name / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        places.append(place)
    if not (releases.directory / "current-version").is_symlink():
        (releases.directory / "current-version").symlink_to(NAMES[len(contents) - 1])
    return places


def details(releases: Releases, **options: Any) -> dict[str, Any]:
    return dict(dedupe.run(releases.context(), reflink="never", **options).details)


def same(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_equal_large_files_and_late_differences(releases: Releases) -> None:
    block = os.urandom(3 << 20)
    paths = write(releases, "html/big", block, block, block[:-1] + b"x", block)
    details(releases)
    assert same(paths[0], paths[3])
    assert same(paths[1], paths[3])
    assert not same(paths[2], paths[3])


def test_anywhere_joins_other_paths_but_not_inside_the_live_version(releases: Releases) -> None:
    a = write(releases, "html/a", b"same", b"same")
    b = write(releases, "html/b", b"same", b"same")
    single = write(releases, "system/user/config/c", b"same", b"same")
    assert details(releases)["linked"] == 2
    lone = write(releases, "html/c", b"same")[0]
    assert details(releases, anywhere=True)["linked"] == 2, "the lone file, and the config of the older version"
    assert lone.stat().st_ino in (a[0].stat().st_ino, b[0].stat().st_ino)
    assert same(a[0], a[1])
    assert not same(a[1], b[1])
    assert single[1].stat().st_nlink == 1
    assert details(releases, anywhere=True)["linked"] == 0


def test_a_link_in_place_of_a_directory_is_not_followed(releases: Releases, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"same")
    write(releases, "html/d/a", b"same", b"same")
    place = releases.directory / NAMES[0] / "html/d"
    (place / "a").unlink()
    place.rmdir()
    place.symlink_to(outside)
    assert details(releases)["linked"] == 0
    assert (outside / "a").stat().st_nlink == 1


def test_a_pointer_that_leads_astray_is_refused(releases: Releases) -> None:
    write(releases, "html/a", b"same", b"same")
    (releases.directory / "current-version").unlink()
    (releases.directory / "current-version").symlink_to("nowhere")
    with pytest.raises(RefusedError, match=re.escape("Until then nothing is deduped")):
        details(releases)


def test_a_live_version_with_an_odd_name_is_known(releases: Releases) -> None:
    one, _ = write(releases, "html/a", b"same", b"same")
    odd = releases.directory / "testing"
    (odd / "html").mkdir(parents=True)
    (odd / "html/a").write_bytes(b"same")
    (releases.directory / "current-version").unlink()
    (releases.directory / "current-version").symlink_to("testing")
    inode = (odd / "html/a").stat().st_ino
    details(releases)
    assert one.stat().st_ino == inode


def test_few_descriptors_are_enough(releases: Releases) -> None:
    deep = "html/" + "/".join("abcdefghij")
    write(releases, f"{deep}/a", *[b"same"] * 5)
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160));"
        "from tests.benchmarks import dedupe_alone; dedupe_alone.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, releases.directory, releases.state],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert '"linked": 4' in result.stdout


def test_without_a_lease_nothing_is_replaced(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = write(releases, "html/a", b"same", b"same")
    monkeypatch.setattr("govma_core.fs.leases.take", lambda fd: None)
    assert details(releases)["left"] == {"without a lease": {"count": 1, "names": [f"{NAMES[0]}/html/a"]}}
    assert not same(one, other)


def test_a_name_that_is_not_utf8_does_not_break_the_record(releases: Releases) -> None:
    one, _ = write(releases, "html/a", b"same", b"same")
    os.mkfifo(os.fsencode(one.parent) + b"/caf\xe9")
    store = RunStore(releases.state)
    record = store.create("dedupe", {}, "ana", "test", details=details(releases))
    assert store.read(record.id).details["left"]["special"]["names"] == [f"{NAMES[0]}/html/caf\udce9"]


def test_globs_are_found_in_any_order(releases: Releases) -> None:
    one, other = write(releases, "html/x/y/config.php", b"same")[0], releases.directory / "other"
    os.link(one, other)
    fd = os.open(releases.directory / NAMES[0], safefs.DIRECTORY_FLAGS)
    for patterns in (["**/config.php", "html/*/a"], ["html/*/a", "**/config.php"], ["**/config.php", "html/.htaccess"]):
        assert list(shared_files(fd, patterns)) == ["html/x/y/config.php"]
    os.close(fd)


def test_a_dry_run_anywhere_counts_each_file_once(releases: Releases) -> None:
    write(releases, "html/a", b"same", b"same")
    planned = dedupe.dry_run(releases.context(), anywhere=True).tally
    result = details(releases, anywhere=True)
    assert (planned.linked, planned.freed) == (result["linked"], result["freed"])
    assert result["linked"] == 1
