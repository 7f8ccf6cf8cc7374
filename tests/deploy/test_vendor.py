"""The vendor tarballs: what is unpacked, and how it is joined with the site's own files."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import random
import stat
import subprocess
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from govma_core.deploy import tarball, vendor
from govma_core.deploy import unpack as unpack_module
from govma_core.errors import UnsafeTreeError
from govma_core.fs import safefs
from tests.support.rights import as_root
from tests.support.tarballs import gnu_tar, guarded_place, member, packed, tree, unpack

WEB = (33, 33)


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Path]:
    with guarded_place(tmp_path) as place:
        yield place


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with an ee/ of all that is hard about names, sizes and modes."""
    root = tmp_path_factory.mktemp("sample")
    ee = root / "ee"
    deep = ee / "/".join(f"level-{n}-{'x' * 30}" for n in range(12))
    deep.mkdir(parents=True)
    (deep / ("n" * 250)).write_text("deep and long")
    (ee / "empty-dir").mkdir()
    (ee / "empty").touch()
    (ee / "run.sh").write_text("#!/bin/sh\n")
    (ee / "run.sh").chmod(0o755)
    (ee / "secret.php").write_text("x" * 512)
    (ee / "secret.php").chmod(0o600)
    (ee / "name with spaces, ção and\nline").write_text("1" * 513)
    (ee / ("a" * 99)).write_text("99")
    (ee / ("b" * 100)).write_text("100")
    (ee / ("c" * 101)).write_text("101")
    Path(os.fsdecode(os.fsencode(ee) + b"/inv\xe1lido-\xff.txt")).write_text("latin-1")
    (ee / "big.bin").write_bytes(random.Random(1).randbytes(3_500_001))
    (ee / "zeros.bin").write_bytes(bytes(5_000_000))
    for number, path in enumerate(sorted(ee.rglob("*"))):
        os.utime(path, (1_500_000_000 + number, 1_500_000_000 + number))
    return root


@pytest.mark.parametrize("fmt", ["gnu", "oldgnu", "pax", "posix"])
@pytest.mark.parametrize("what", ["ee", "./ee"])
def test_unpacks_as_tar_does(sample: Path, tmp_path: Path, place: Path, fmt: str, what: str) -> None:
    path = gnu_tar(sample, tmp_path / "ee.tar.gz", f"--format={fmt}", what=what)
    result = unpack(path, place)
    assert tree(place) == tree(sample)
    assert len(result.files) == sum(not name.endswith("/") for name in tree(sample))
    assert sum(record.size for record in result.files.values()) == sum(
        len(content) for _, _, content in tree(sample).values()
    )
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_hash_is_of_what_was_unpacked(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the manifest against a tarball that is written over between two looks at it."""
    tarballs = {}
    for version in ("first", "other"):
        (tmp_path / version / "ee").mkdir(parents=True)
        (tmp_path / version / "ee/version").write_text(version)
        tarballs[version] = gnu_tar(tmp_path / version, tmp_path / f"{version}.tar.gz").read_bytes()

    class WrittenOver(io.BytesIO):
        def seek(self, position: int, whence: int = 0, /) -> int:
            self.truncate(super().seek(0))
            self.write(tarballs["other"])
            return super().seek(position, whence)

    monkeypatch.setattr(unpack_module, "open_tarball", lambda path: WrittenOver(tarballs["first"]))
    result = unpack(tmp_path / "ee.tar.gz", place)
    assert result.sha256 == hashlib.sha256(tarballs[(place / "ee/version").read_text()]).hexdigest()


@pytest.mark.parametrize("fmt", ["ustar", "v7"])
def test_old_formats_with_names_that_fit(tmp_path: Path, place: Path, fmt: str) -> None:
    ee = tmp_path / "in/ee"
    parent = ee / ("p" * 60) / ("q" * 60) if fmt == "ustar" else ee
    parent.mkdir(parents=True)
    (parent / "file.php").write_text("<?php")
    os.utime(parent / "file.php", (1e9, 1e9))
    unpack(gnu_tar(tmp_path / "in", tmp_path / "ee.tar.gz", f"--format={fmt}"), place)
    assert tree(place) == tree(tmp_path / "in")


def test_leading_dot_member_of_its_own_and_a_git_archive_header(tmp_path: Path, place: Path) -> None:
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"comment": "f" * 40}) as a:
        a.addfile(member("./", tarfile.DIRTYPE, mode=0o755))
        a.addfile(member("./ee//./x.php", size=3), io.BytesIO(b"abc"))
    assert len(unpack(tmp_path / "t.tar.gz", place).files) == 1
    assert (place / "ee/x.php").read_bytes() == b"abc"


def test_a_header_that_holds_for_all_members(tmp_path: Path, place: Path) -> None:
    with tarfile.open(tmp_path / "t.tar.gz", "w:gz", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "5"}) as archive:
        archive.addfile(member("ee/a"))
        archive.addfile(member("ee/b"))
    unpack(tmp_path / "t.tar.gz", place)
    assert [(place / name).stat().st_mtime for name in ("ee/a", "ee/b")] == [5, 5]


def test_several_gzip_streams_in_a_row_and_padding(tmp_path: Path, place: Path, sample: Path) -> None:
    raw = gzip.decompress(gnu_tar(sample, tmp_path / "ee.tar.gz").read_bytes())
    parts = [raw[at : at + 1_000_003] for at in range(0, len(raw), 1_000_003)]
    path = tmp_path / "parts.tar.gz"
    path.write_bytes(b"".join(gzip.compress(part, 1) for part in parts) + bytes(700))
    unpack(path, place)
    assert tree(place) == tree(sample)


def test_modes_times_and_duplicates(tmp_path: Path, place: Path) -> None:
    suid, world, dark, folder = member("ee/a", mode=0o6777), member("ee/b", mode=0o666), member("ee/c", mode=0), "ee/d"
    world.mtime, dark.mtime = 1 << 34, 1.5
    again = member("ee/a", size=7, mode=0o644)
    path = packed(tmp_path / "t.tar.gz", suid, world, dark, member(folder, tarfile.DIRTYPE, mode=0o1777), again)
    unpack(path, place)
    modes = {name: stat.S_IMODE((place / "ee" / name).stat().st_mode) for name in "abcd"}
    assert modes == {"a": 0o644, "b": 0o664, "c": 0o400, "d": 0o775}
    assert (place / "ee/a").read_bytes() == bytes(7)
    assert (place / "ee/b").stat().st_mtime == 0


@pytest.mark.parametrize("mtime", ["nan", "inf", "-1", "1e300", "-inf"])
def test_impossible_times_become_zero(tmp_path: Path, place: Path, mtime: str) -> None:
    info = member("ee/a")
    info.pax_headers = {"mtime": mtime}
    unpack(packed(tmp_path / "t.tar.gz", info, fmt=tarfile.PAX_FORMAT), place)
    assert (place / "ee/a").stat().st_mtime == 0


@as_root
@pytest.mark.root
def test_owner_is_given_whatever_the_tarball_says(sample: Path, tmp_path: Path, place: Path) -> None:
    unpack(gnu_tar(sample, tmp_path / "ee.tar.gz", "--owner=1234", "--group=1234"), place, WEB)
    owners = {(info.st_uid, info.st_gid) for info in map(os.lstat, (place / "ee").rglob("*"))}
    assert owners == {WEB}
    assert ((place / "ee").stat().st_uid, place.stat().st_uid) == (33, 0)


def test_memory_does_not_grow_with_the_tarball(tmp_path: Path, place: Path) -> None:
    names = [member(f"ee/{n:05}", tarfile.DIRTYPE if n < 2 else tarfile.REGTYPE, mode=0o755) for n in range(3000)]
    path = packed(tmp_path / "t.tar.gz", member("ee/big", size=80_000_000), *names)
    tracemalloc.start()
    try:
        unpack(path, place)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000


names = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=70).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 256
)


def test_modes_are_those_that_deploy_sh_left(tmp_path: Path, place: Path) -> None:
    """Guards links to its versions: most archives are packed under umask 002."""
    there = tmp_path / "in/ee"
    (there / "folder").mkdir(parents=True)
    for name in ("a.php", "folder/b.php", "run"):
        (there / name).touch()
    for name, mode in (("a.php", 0o664), ("folder/b.php", 0o640), ("run", 0o775), ("folder", 0o775), ("", 0o2775)):
        (there / name).chmod(mode)
    path = gnu_tar(tmp_path / "in", tmp_path / "ee.tar.gz")
    by_tar = tmp_path / "by tar"
    by_tar.mkdir()
    subprocess.run(["tar", "--preserve-permissions", "-xzf", path, "-C", by_tar], check=True)
    unpack(path, place)
    for name in ("ee/a.php", "ee/folder/b.php", "ee/run", "ee/folder"):
        assert (place / name).stat().st_mode == (by_tar / name).stat().st_mode
    assert stat.S_IMODE((place / "ee").stat().st_mode) == 0o775


paths = st.lists(names, min_size=1, max_size=4)


@settings(max_examples=80)
@given(
    st.lists(st.tuples(paths, st.binary(max_size=1500), st.integers(0, 0o777), st.integers(0, 1 << 32)), max_size=12),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]),
)
def test_any_tree_comes_out_as_it_went_in(files: list[tuple[list[str], bytes, int, int]], fmt: int) -> None:
    """What comes out does not depend on the format of the headers."""
    expected: dict[str, tuple[int, int, bytes]] = {}
    with tempfile.TemporaryDirectory() as tmp:
        with tarfile.open(f"{tmp}/t.tar.gz", "w:gz", format=fmt, compresslevel=1) as archive:
            archive.addfile(member("ee", tarfile.DIRTYPE, mode=0o755))
            for number, (path, content, mode, mtime) in enumerate(files):
                # The number keeps a file from having the name of another one's directory.
                info = member("/".join(["ee", *path[:-1], f"{number}-{path[-1]}"[:60]]), size=len(content), mode=mode)
                info.mtime = mtime
                with suppress(ValueError, UnicodeEncodeError):
                    archive.addfile(info, io.BytesIO(content))
                    expected[info.name] = mode & 0o775 | 0o400, mtime, content
        out = Path(tmp, "out")
        out.mkdir()
        unpack(Path(tmp, "t.tar.gz"), out)
        assert {name: entry for name, entry in tree(out).items() if not name.endswith("/")} == expected


# -- looking at the file before a deploy


def test_preflight_says_what_is_wrong_and_where_it_is_set(tmp_path: Path) -> None:
    path, setting = tmp_path / "ee.tar.gz", "ee_tarball in vendor_dir"
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: None, "is missing"),
        (path.mkdir, "is not a regular file"),
        (lambda: path.rename(tmp_path / "aside").with_name(path.name).write_bytes(b""), "is empty"),
        (lambda: path.write_bytes(b"PK\x03\x04"), "is not a gzip file"),
    ]
    for prepare, text in cases:
        prepare()
        (sentence,) = tarball.preflight(path, setting)
        assert text in sentence
        assert f"{path} ({setting})" in sentence
        assert sentence.endswith(".")
    path.write_bytes(gzip.compress(b""))
    assert tarball.preflight(path, setting) == []
    assert "is missing" in tarball.preflight(path / "below-a-file", setting)[0]


# -- joining with what the site has


def merge(src: Path, dst: Path, name: str) -> None:
    with safefs.opened_root(src) as src_fd, safefs.opened_root(dst) as dst_fd:
        vendor.merge(src_fd, dst_fd, name)


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    src, dst = tmp_path / "src", tmp_path / "dst"
    for name in ("themes/ee/cp", "themes/user"):
        (src / name).mkdir(parents=True)
    (src / "themes/ee/cp/style.css").write_text("vendor")
    (src / "themes/user/new.css").write_text("vendor")
    dst.mkdir()
    return src, dst


def test_merge_moves_where_nothing_is(sides: tuple[Path, Path]) -> None:
    src, dst = sides
    inode = (src / "themes").stat().st_ino
    merge(src, dst, "themes")
    assert (dst / "themes").stat().st_ino == inode
    assert os.listdir(src) == []


def test_merge_joins_directories_and_replaces_files(sides: tuple[Path, Path], tmp_path: Path) -> None:
    src, dst = sides
    (dst / "themes/ee/cp").mkdir(parents=True)
    (dst / "themes/user").mkdir()
    (dst / "themes/user/own.css").write_text("tracked")
    (dst / "themes/ee/cp/style.css").write_text("tracked")
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    (dst / "themes/user/new.css").symlink_to(secret)
    merge(src, dst, "themes")
    assert (dst / "themes/user/own.css").read_text() == "tracked"
    assert (dst / "themes/ee/cp/style.css").read_text() == "vendor"
    assert not (dst / "themes/user/new.css").is_symlink()
    assert secret.read_text() == "untouched"
    assert os.listdir(src) == []


def test_merge_never_goes_through_a_link(sides: tuple[Path, Path], tmp_path: Path) -> None:
    src, dst = sides
    outside = tmp_path / "outside"
    outside.mkdir()
    (dst / "themes").mkdir()
    (dst / "themes/ee").symlink_to(outside)
    with pytest.raises(UnsafeTreeError, match="'themes/ee' is a link or a file in the site and a directory"):
        merge(src, dst, "themes")
    assert os.listdir(outside) == []


def test_merge_refuses_a_file_for_a_directory_and_back(sides: tuple[Path, Path]) -> None:
    src, dst = sides
    (dst / "themes/user/new.css").mkdir(parents=True)
    with pytest.raises(UnsafeTreeError, match=r"'themes/user/new\.css' is a directory in the site and a file"):
        merge(src, dst, "themes")
