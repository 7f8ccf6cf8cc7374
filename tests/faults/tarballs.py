"""Vendor tarballs with what must not come out of them, unpacked as root beside a canary."""

from __future__ import annotations

import gzip
import sys
import tarfile
from contextlib import suppress
from pathlib import Path

from govma_core.errors import VendorError
from tests.faults.result import Result
from tests.support.canary import Canary
from tests.support.tarballs import gnu_tar, member, packed, unpack

_LINKS = ("/etc/passwd", "../../canary/root", "../..", "a", "/", "ee/../../canary/open-folder")


def sweep(folder: Path) -> Result:
    """Unpack each; all have to be refused, and the place and the canary to be as they were."""
    folder.chmod(0o755)
    canary = Canary(folder / "canary")
    cases = _cases(canary)
    problems = []
    for number, (name, members) in enumerate(cases.items()):
        for fmt in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            path = packed(folder / f"{number}.tar.gz", *members, fmt=fmt)
            if name == "bomb":
                head = member("ee/bomb", size=(2 << 30) + 1).tobuf(tarfile.GNU_FORMAT)
                path.write_bytes(gzip.compress(head + bytes(2048)))
            problems += _unpacked(folder, f"{name}-{number}-{fmt}", path)
    (folder / "in/ee").mkdir(parents=True)
    with (folder / "in/ee/holes").open("wb") as file:
        file.truncate(1 << 40)
    for number, options in enumerate((["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.1"])):
        path = gnu_tar(folder / "in", folder / "sparse.tar.gz", "--sparse", *options)
        problems += _unpacked(folder, f"sparse-{number}", path)
    problems += [f"changed {path}" for path in canary.changes()]
    problems += [f"read into {path}" for path in canary.found_in(folder / "places")]
    for problem in problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "hostile vendor tarballs",
        f"{len(cases) * 2 + 3} inputs",
        "all refused with a sentence",
        len(problems),
        len(cases),
    )


def _unpacked(folder: Path, name: str, path: Path) -> list[str]:
    place = folder / "places" / name.replace("/", "_").replace(" ", "_") / "place"
    place.mkdir(parents=True)
    with suppress(VendorError):
        unpack(path, place, (33, 33))
        return [f"{name} was unpacked"]
    beside = sorted(entry.name for entry in place.parent.iterdir())
    return [] if beside == ["place"] else [f"{name} wrote beside: {beside}"]


def _cases(canary: Canary) -> dict[str, list[tarfile.TarInfo]]:
    inside = [member("ee/a")]
    cases = {
        "absolute": [member(f"{canary.root}/open")],
        "absolute in ee": [*inside, member(f"/{canary.root}/new")],
        "above": [member("ee/../../canary/open")],
        "above at the end": [member("ee/..", tarfile.DIRTYPE)],
        "beside": [*inside, member("canary")],
        "device": [member("ee/null", tarfile.CHRTYPE)],
        "block device": [member("ee/sda", tarfile.BLKTYPE)],
        "pipe": [member("ee/p", tarfile.FIFOTYPE)],
        "unknown kind": [member("ee/V", b"V")],
        "file becomes a directory": [*inside, member("ee/a/b")],
        "directory becomes a file": [member("ee/a", tarfile.DIRTYPE, mode=0o755), member("ee/a")],
        "too deep": [member("ee/" + "d/" * 64 + "f")],
        "name too long": [member("ee/" + "n" * 256)],
        "bomb": [member("ee/bomb", tarfile.AREGTYPE)],
        "nothing": [],
    }
    for target in _LINKS:
        for kind, name in ((tarfile.SYMTYPE, "symbolic"), (tarfile.LNKTYPE, "hard")):
            cases[f"{name} link to {target}"] = [*inside, member("ee/l", kind, link=target)]
            cases[f"through a {name} link to {target}"] = [
                *inside,
                member("ee/l", kind, link=target),
                member("ee/l/open", size=1),
            ]
    return cases
