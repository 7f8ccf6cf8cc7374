"""Vendor tarballs that are damaged, or hold what must not come out of them."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from govma_core.deploy import tarball
from govma_core.errors import VendorError
from tests.support.tarballs import gnu_tar, guarded_place, member, packed, unpack


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Path]:
    with guarded_place(tmp_path) as place:
        yield place


BAD = {
    "absolute": [member("/ee/a")],
    "above": [member("ee/../../canary")],
    "above at the end": [member("ee/..", tarfile.DIRTYPE)],
    "beside": [member("ee/a"), member("canary")],
    "beside with the same beginning": [member("eex/a")],
    "top is a file": [member("ee")],
    "symbolic link": [member("ee/l", tarfile.SYMTYPE, link="/etc/passwd")],
    "symbolic link to use": [member("ee/l", tarfile.SYMTYPE, link="../.."), member("ee/l/canary", size=1)],
    "hard link": [member("ee/a"), member("ee/h", tarfile.LNKTYPE, link="ee/a")],
    "device": [member("ee/null", tarfile.CHRTYPE)],
    "block device": [member("ee/sda", tarfile.BLKTYPE)],
    "pipe": [member("ee/p", tarfile.FIFOTYPE)],
    "unknown kind": [member("ee/V", b"V")],
    "file becomes a directory": [member("ee/a"), member("ee/a/b")],
    "file becomes a directory, said openly": [member("ee/a"), member("ee/a", tarfile.DIRTYPE)],
    "directory becomes a file": [member("ee/a", tarfile.DIRTYPE, mode=0o755), member("ee/a")],
    "file with a slash": [member("ee/a/")],
    "too deep": [member("ee/" + "d/" * 64 + "f")],
    "name too long": [member("ee/" + "n" * 256)],
    "too large": [member("ee/bomb", tarfile.AREGTYPE)],
    "top is missing": [member("./", tarfile.DIRTYPE)],
    "nothing in it": [],
}


@pytest.mark.parametrize("fmt", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("case", BAD)
def test_refuses_with_tarball_member_and_advice(tmp_path: Path, place: Path, case: str, fmt: int) -> None:
    path = packed(tmp_path / "bad.tar.gz", *BAD[case], fmt=fmt)
    if case == "too large":
        head = member("ee/bomb", size=(2 << 30) + 1).tobuf(tarfile.GNU_FORMAT)
        path.write_bytes(gzip.compress(head + bytes(2048)))
    with pytest.raises(VendorError) as caught:
        unpack(path, place)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith((".", "…", "?"))
    if BAD[case] and case != "top is missing":
        # The link by itself is what is wrong, before anything uses it.
        wrong = BAD[case][0 if case == "symbolic link to use" else -1]
        assert f"'{wrong.name.rstrip('/')[:100]}" in message


def test_refuses_a_sparse_file(tmp_path: Path, place: Path) -> None:
    (tmp_path / "in/ee").mkdir(parents=True)
    with (tmp_path / "in/ee/holes").open("wb") as file:
        file.truncate(10_000_000)
        file.seek(5_000_000)
        file.write(b"x")
    for options in (["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"]):
        path = gnu_tar(tmp_path / "in", tmp_path / "sparse.tar.gz", "--sparse", *options)
        with pytest.raises(VendorError, match="'ee/holes' is a sparse file"):
            unpack(path, place)


def test_a_name_with_a_null_byte_in_a_pax_header(tmp_path: Path, place: Path) -> None:
    info = member("ee/x")
    info.pax_headers = {"path": "ee/a\0b"}
    with pytest.raises(VendorError, match="no name that can be unpacked"):
        unpack(packed(tmp_path / "t.tar.gz", info, fmt=tarfile.PAX_FORMAT), place)


def test_total_and_number_are_bounded(tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "t.tar.gz", *(member(f"ee/{n}", size=1000) for n in range(10)))
    monkeypatch.setattr(tarball, "LARGEST_TOTAL", 9_999)
    with pytest.raises(VendorError, match="'ee/9' has 1000 bytes, with all before it 10000"):
        unpack(path, place)
    monkeypatch.setattr(tarball, "LARGEST_TOTAL", 10_000)
    monkeypatch.setattr(tarball, "MOST_MEMBERS", 10)
    with pytest.raises(VendorError, match="10 members"):
        unpack(path, place)


def header_chain(kind: bytes, name: str, times: int, body: bytes) -> bytes:
    head = member(name, kind, size=len(body)).tobuf(tarfile.GNU_FORMAT)
    return (head + body + bytes(-len(body) % 512)) * times


@pytest.mark.parametrize(
    "raw",
    [
        header_chain(b"L", "././@LongLink", 3000, b"ee/x\0"),
        header_chain(b"x", "pax", 3000, b"11 path=ab\n"),
        header_chain(b"L", "././@LongLink", 8, b"n" * 300_000),
        header_chain(b"x", "pax", 1, b"22 GNU.sparse.map=a,b\n"),
        header_chain(b"x", "pax", 1, b"0 path=\n"),
        header_chain(b"x", "pax", 1, b"9" * 5000 + b" path=x\n"),
        b"".join(header_chain(b"g", "g", 1, f"{len(str(n)) + 9} k{n}=vvv\n".encode()) for n in range(1000, 1200)),
        member("x", b"L", size=1 << 40).tobuf(tarfile.GNU_FORMAT),
    ],
    ids=[
        "names",
        "pax",
        "long names",
        "sparse map",
        "pax length 0",
        "pax length of 5000 digits",
        "globals",
        "1 TiB name",
    ],
)
def test_hostile_chains_of_headers(tmp_path: Path, place: Path, raw: bytes) -> None:
    path = tmp_path / "t.tar.gz"
    path.write_bytes(gzip.compress(raw + member("ee/x").tobuf(tarfile.GNU_FORMAT) + bytes(1024), 1))
    with pytest.raises(VendorError, match="damaged"):
        unpack(path, place)


def test_damage_is_never_taken_for_the_end(tmp_path: Path, place: Path) -> None:
    """tarfile and tar stop quietly at a bad header; here it is an error, in every one of them."""
    raw = gzip.decompress(packed(tmp_path / "t.tar.gz", *(member(f"ee/{n}", size=9) for n in range(4))).read_bytes())
    for at in range(0, 4 * 1024, 1024):
        bad = bytearray(raw)
        bad[at + 3] ^= 1
        (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(bad))
        with pytest.raises(VendorError, match="damaged or incomplete"):
            unpack(tmp_path / "bad.tar.gz", place)
    for end in range(0, 4 * 1024 + 1, 512):
        (tmp_path / "bad.tar.gz").write_bytes(gzip.compress(raw[:end]))
        with pytest.raises(VendorError, match="damaged or incomplete"):
            unpack(tmp_path / "bad.tar.gz", place)


def test_every_truncation_and_flipped_byte_of_the_file(tmp_path: Path, place: Path) -> None:
    whole = packed(tmp_path / "t.tar.gz", member("ee/a", size=2000), member("ee/b", size=3)).read_bytes()
    path = tmp_path / "cut.tar.gz"
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(VendorError, match="damaged or incomplete"):
            unpack(path, place)
    for trailing in (b"x", whole[:20], bytes(9) + b"x"):
        path.write_bytes(whole + trailing)
        with pytest.raises(VendorError, match="damaged or incomplete"):
            unpack(path, place)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    with pytest.raises(VendorError, match="damaged or incomplete"):
        unpack(path, place)


def test_what_is_no_tarball_at_all(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "ee.tar.gz"
    with pytest.raises(VendorError, match="cannot be opened"):
        unpack(path, place)
    os.mkfifo(path)
    with pytest.raises(VendorError, match="not a regular file"):
        unpack(path, place)
    path.unlink()
    for content in (b"", b"<html>404</html>", gzip.compress(b"hello"), gzip.compress(b"x" * 5000), bytes(4096)):
        path.write_bytes(content)
        with pytest.raises(VendorError, match="damaged or incomplete"):
            unpack(path, place)


RAW = b"".join(
    (
        member("ee/" + "n" * 120).tobuf(tarfile.PAX_FORMAT),
        member("ee/" + "g" * 120, size=700).tobuf(tarfile.GNU_FORMAT) + bytes(1024),
        member("ee/d", tarfile.DIRTYPE, mode=0o755).tobuf(tarfile.USTAR_FORMAT),
        member("ee/d/plain", size=100).tobuf(tarfile.GNU_FORMAT) + bytes(512),
        bytes(1024),
    )
)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(RAW) - 1), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_changed_bytes_are_refused_or_harmless(changes: list[tuple[int, int]], mend: bool) -> None:
    """No header, its checksum mended or not, brings another exception than VendorError, or a link, or a way out."""
    raw = bytearray(RAW)
    for at, value in changes:
        raw[at] = value
        if mend:
            start = at - at % 512
            block = raw[start : start + 512]
            total = sum(block) - sum(block[148:156]) + 256
            raw[start + 148 : start + 156] = b"%06o\0 " % total
    with tempfile.TemporaryDirectory() as tmp:
        path, place = Path(tmp, "t.tar.gz"), Path(tmp, "outer/place")
        place.mkdir(parents=True)
        path.write_bytes(gzip.compress(raw, 1))
        with suppress(VendorError):
            unpack(path, place)
        assert os.listdir(place.parent) == ["place"]
        assert set(os.listdir(place)) <= {"ee"}
        for entry in place.rglob("*"):
            assert stat.S_IFMT(entry.lstat().st_mode) in (stat.S_IFREG, stat.S_IFDIR)
