"""The env file in a version: its content and rights, whatever was there before, and who may read it then."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from govma_core.deploy.ownership import hand_over
from govma_core.fs import safefs
from govma_core.versions import env_file

ENV = "system/user/config/.env"
WEB = (33, 33) if os.geteuid() == 0 else None
# Whatever an administrator has left, no other user can write what the CMS trusts.
MODES = [(0o600, 0o600), (0o640, 0o640), (0o400, 0o400), (0o666, 0o664), (0o4755, 0o755)]


@pytest.fixture
def present(tmp_path: Path) -> Path:
    path = tmp_path / "production.env"
    path.write_bytes(b"DB_PASSWORD='geheim'\n\xff\n" * 3000)
    return path


def is_in(version: Path, present: Path, mode: int) -> bool:
    path = version / ENV
    info = path.lstat()
    owner = WEB or (os.geteuid(), os.getegid())
    rights = stat.S_ISREG(info.st_mode) and stat.S_IMODE(info.st_mode) == mode
    return rights and (info.st_uid, info.st_gid) == owner and path.read_bytes() == present.read_bytes()


def install(present: Path, version: Path) -> str:
    umask = os.umask(0o077)
    try:
        with safefs.opened_root(version) as fd:
            sha256 = env_file.install(present, fd)
            hand_over(fd, WEB, 1000)
    finally:
        os.umask(umask)
    return sha256


@pytest.mark.parametrize("there", ["nothing", "no folder", "file", "link", "directory"])
def test_it_is_installed_over_whatever_the_commit_or_the_build_left(present: Path, tmp_path: Path, there: str) -> None:
    version, outside = tmp_path / "data", tmp_path / "outside"
    outside.write_text("untouched")
    (version / ENV).parent.mkdir(parents=True)
    if there == "no folder":
        (version / ENV).parent.rmdir()
    elif there == "file":
        (version / ENV).write_text("A=of the commit")
        (version / ENV).chmod(0o644)
    elif there == "link":
        (version / ENV).symlink_to(outside)
    elif there == "directory":
        (version / ENV / "deep").mkdir(parents=True)
    present.chmod(0o600)
    assert install(present, version) == hashlib.sha256(present.read_bytes()).hexdigest()
    assert is_in(version, present, 0o600)
    assert stat.S_IMODE((version / ENV).parent.stat().st_mode) == 0o755
    assert outside.read_text() == "untouched"


@pytest.mark.parametrize(("mode", "in_version"), MODES)
def test_its_rights_are_those_of_the_present_file(present: Path, tmp_path: Path, mode: int, in_version: int) -> None:
    present.chmod(mode)
    version, staging = tmp_path / "data", tmp_path / "staging"
    for path in (version / "system/user/config", staging):
        path.mkdir(parents=True)
    install(present, version)
    assert is_in(version, present, in_version)
    present.write_bytes(b"OTHER=1\n")
    with safefs.opened_root(version) as fd, safefs.opened_root(staging) as place:
        assert env_file.renew(present, fd, place, WEB) == hashlib.sha256(b"OTHER=1\n").hexdigest()
    assert is_in(version, present, in_version)
    assert list(staging.iterdir()) == []
