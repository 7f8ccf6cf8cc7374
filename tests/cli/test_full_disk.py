"""A file system without room, at each place that a deploy writes to: a sentence, the link untouched, the next works."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.mounts import small_file_system
from tests.support.sample import LEGACY_VERSION, SampleSite, create_sample

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root"),
]


def set_path(sample: SampleSite, name: str, path: Path) -> None:
    lines = [line for line in sample.config_file.read_text().splitlines() if not line.startswith(name)]
    sample.config_file.write_text("\n".join([f'{name} = "{path}"', *lines]))


def assert_refused_early(sample: SampleSite, target: Path) -> None:
    """What the versions take tells that there is no room; then have no version tell it, to see what comes without."""
    result = Command(sample.config_file, sample.state_dir).run("deploy")
    assert result.code == 3, result.err
    assert f"too little room for a deploy on the file system of work_dir ({target})" in result.err
    legacy = sample.versions_dir / LEGACY_VERSION
    for part in ("html", "system"):
        shutil.rmtree(legacy / part)
        (legacy / part).mkdir()


@pytest.mark.parametrize("place", ["work_dir", "versions_dir", "upload_dir", "state_dir"])
def test_no_room(tmp_path: Path, place: str) -> None:
    sample = create_sample(tmp_path / "site", files=300)
    sample.commit({"data/html/uploads/portal/novo.bin": os.urandom(400_000)}, "Arquivo grande")
    before = sample.config_file.read_text()
    with small_file_system(tmp_path / "small", "256k"):
        small = tmp_path / "small"
        if place == "versions_dir":
            (small / LEGACY_VERSION / "html").mkdir(parents=True)
            (small / LEGACY_VERSION / "system").mkdir()
            (small / "current-version").symlink_to(LEGACY_VERSION)
        target = small if place in ("versions_dir", "upload_dir") else small / "dir"
        if place == "state_dir":
            (small / "filler").write_bytes(b"x" * 250_000)
        set_path(sample, place, target)
        if place == "work_dir":
            assert_refused_early(sample, target)
        result = Command(sample.config_file, sample.state_dir).run("deploy")
        versions = target if place == "versions_dir" else sample.versions_dir
        if place == "state_dir":
            assert result.code == 1, result.err
            assert f"cannot be written down in state_dir ({target}" in result.err
            assert "Free some space there" in result.err
        else:
            assert result.code == 1, result.err
            assert f"{place} ({target}" in result.err
            assert "No space left on device" in result.err
            assert "Free some space" in result.err
            assert os.readlink(versions / "current-version") == LEGACY_VERSION
            assert [n for n in os.listdir(versions) if n.startswith(".govma")] == []
        assert (versions / "current-version" / "html").is_dir()
    sample.config_file.write_text(before)
    result = Command(sample.config_file, sample.state_dir).run("deploy")
    assert result.code == 0, result.err
