"""What the web server's user prepares among the versions; after each operation nothing outside was reached."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from govma_core.disk import dedupe, usage, verify
from govma_core.errors import GovmaError
from govma_core.fs import safefs, trees
from govma_core.promotion import promote, rehearsal_copy
from govma_core.prune import prune
from govma_core.runs import recovery
from govma_core.versions.store import POINTER
from tests.faults.result import Result
from tests.support.canary import Canary
from tests.support.crashes import files_of
from tests.support.sites import Site, make_site

_HEX = "0123456789abcdef"
_HELD = "held files"
_HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = 0
for path in sys.stdin.buffer.read().split(b'\\0'):
    try:
        fcntl.fcntl(os.open(path, os.O_RDWR | os.O_NONBLOCK), fcntl.F_SETLEASE, fcntl.F_WRLCK)
        held += 1
    except OSError:
        pass
print(held, flush=True)
signal.alarm(120)
signal.pause()
"""
_holders: list[subprocess.Popen[bytes]] = []


def _link(name: str, file: bool = False) -> Callable[[Path, Canary], None]:
    def prepare(versions: Path, canary: Canary) -> None:
        os.symlink(canary.root / "build" if file else canary.root / "build-folder", versions / name)

    return prepare


def _pointer(target: str) -> Callable[[Path, Canary], None]:
    def prepare(versions: Path, canary: Canary) -> None:
        (versions / POINTER).unlink()
        os.symlink(target.format(canary=canary.root), versions / POINTER)

    return prepare


def _swapped(part: str) -> Callable[[Path, Canary], None]:
    def prepare(versions: Path, canary: Canary) -> None:
        oldest = min(path for path in versions.glob("data-build--*") if not path.is_symlink())
        at = oldest / part if part else oldest
        at.rename(at.with_name(f"{at.name}.aside"))
        os.symlink(canary.root / "build-folder", at)

    return prepare


def _everywhere(make: Callable[[Path, Canary], None], folder: str = "system/user/templates") -> Callable[..., None]:
    def prepare(versions: Path, canary: Canary) -> None:
        for version in versions.glob("data-build--*"):
            if not version.is_symlink():
                make(version / folder, canary)

    return prepare


def _files(at: Path, canary: Canary) -> None:
    for kind in ("build", "open", "root", "web"):
        os.symlink(canary.root / kind, at / f"{kind}.css")
        os.symlink(canary.root / f"{kind}-folder", at / f"{kind}-folder")


def _hard(at: Path, canary: Canary) -> None:
    os.link(canary.root / "web", at / "stolen.css")
    os.link(canary.root / "open", at / "stolen.js")


def _special(at: Path, canary: Canary) -> None:
    os.mkfifo(at / "pipe.css")
    here = os.getcwd()
    os.chdir(at)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.js")
    os.chdir(here)
    # No user but root makes these; a restored copy of something may hold them all the same.
    os.mknod(at / "null.css", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(at / "disk.js", 0o666 | stat.S_IFBLK, os.makedev(7, 250))
    (at / "set.css").write_text("x")
    (at / "set.css").chmod(0o6777)
    (at / "closed").mkdir(0)


def _names(at: Path, canary: Canary) -> None:
    for name in (b"-rf", b"--", b"a\nb.css", b"\xff\xfe.js", b"n" * 251 + b".css", b"*", b"$(id)", b"\x1b[31m.css"):
        (Path(os.fsdecode(os.fsencode(at) + b"/" + name))).write_text("odd")


def _deep(at: Path, canary: Canary) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(at)
    for _ in range(2000):
        os.mkdir("d")
        os.chdir("d")
    Path("bottom.css").write_text("bottom")
    os.fchdir(here)
    os.close(here)


def _many(at: Path, canary: Canary) -> None:
    (at / "many").mkdir()
    for number in range(100_000):
        (at / f"many/{number}.css").touch()


def _immediate(versions: Path, canary: Canary) -> None:
    for prefix in ("link", "incoming", "staging", "removed"):
        folder = versions / f".govma-{prefix}-{_HEX}"
        folder.mkdir()
        os.symlink(canary.root / "build-folder", folder / "way")
        os.link(canary.root / "open", folder / "open")


def _hold(versions: Path, canary: Canary) -> None:
    """Hold every file of the web server's to itself, as its owner can."""
    site = versions.parent
    paths = [path for path in site.rglob("*") if path.is_file() and path.lstat().st_uid == 33]
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c", _HOLDER],
        user=33,
        group=33,
        extra_groups=(),
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    _holders.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\0".join(os.fsencode(path) for path in paths))
    process.stdin.close()
    assert int(process.stdout.readline()) > 0, "nothing could be held"


CASES: dict[str, Callable[[Path, Canary], None]] = {
    **{f"prepared {prefix}": _link(f".govma-{prefix}-{_HEX}") for prefix in ("link", "incoming", "staging", "removed")},
    "prepared link to a file": _link(f".govma-link-{_HEX}", file=True),
    "prepared folders": _immediate,
    "link of the original": _link("symlink_new_link"),
    "a version that is a link": _link("data-build--2020-01-01-00h00m00s"),
    "a version that is a link to a file": _link("data-build--2020-01-01-00h00m01s", file=True),
    "a later version that is a link": _link("data-build--2099-01-01-00h00m00s"),
    "pointer out": _pointer("{canary}/root-folder"),
    "pointer to a file": _pointer("{canary}/root"),
    "pointer up": _pointer("../canary/open-folder"),
    "pointer to itself": _pointer(POINTER),
    "pointer to nothing": _pointer("data-build--1999-01-01-00h00m00s"),
    "version swapped": _swapped(""),
    **{f"{part} swapped": _swapped(part) for part in ("html", "system", "system/user", "system/user/templates")},
    "links among css": _everywhere(_files),
    "links among what is written in place": _everywhere(_files, "system/user/config"),
    "hard links": _everywhere(_hard),
    "hard links among all that a switch touches": _everywhere(_hard, "system/user"),
    "special files": _everywhere(_special),
    "odd names": _everywhere(_names),
    "depth 2,000": _everywhere(_deep),
    "100,000 files in a folder": _everywhere(_many),
    _HELD: _hold,
}


def sweep(folder: Path, cases: Sequence[str] = tuple(CASES)) -> Result:
    """Prepare each of the cases, then measure, verify, check, dedupe, roll back, promote, prune and deploy."""
    folder.chmod(0o755)
    began = time.monotonic()
    problems: list[str] = []
    operations = refused = 0
    for number, case in enumerate(cases):
        done, errors = _try(folder / str(number), case, problems)
        operations, refused = operations + done, refused + errors
    for problem in problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "a hostile web server among the versions; then the canary and the uploads are looked at",
        f"{len(cases)} inputs, {operations} operations",
        f"{refused} refused with a sentence; {time.monotonic() - began:.0f} s",
        len(problems),
        operations,
    )


def _try(folder: Path, case: str, problems: list[str]) -> tuple[int, int]:
    folder.mkdir(mode=0o755)
    site = make_site(folder / "site", files=5, vendor_files=12)
    site.deploy()
    site.deploy()
    canary = Canary(folder / "canary", attacker=33)
    versions = site.settings.versions_dir
    people = files_of(site.settings.upload_dir)
    CASES[case](versions, canary)
    names = [version.name for version in site.store.versions() if version.complete]
    refused = 0
    operations: dict[str, Callable[[], object]] = {
        "usage": lambda: usage.account(site.context()),
        "verify": lambda: list(verify.verify(site.context())),
        "check": lambda: _check(site, names[-1]),
        "recovery": lambda: recovery.clear_versions(site.context()),
        "dedupe": lambda: dedupe.run(site.context()),
        "rollback": lambda: site.rollback(names[-1]),
        "promote": lambda: site.promote(names[0]),
        "prune": lambda: prune.run(site.context(), keep=1),
        "deploy": site.deploy,
    }
    for name, operate in operations.items():
        try:
            operate()
        except (GovmaError, OSError) as error:
            refused += 1
            # A version of which not all can be read is not tried; everything else goes past such files.
            if case == _HELD and name != "check":
                problems.append(f"{case}, {name}: stopped by it, {error}")
            if not str(error).strip():
                problems.append(f"{case}, {name}: refused without a word")
        except Exception as error:
            problems.append(f"{case}, {name}: a fault of ours, {error!r}")
        problems += [f"{case}, {name}: changed {path}" for path in canary.changes()]
    while _holders:
        with _holders.pop() as process:
            process.kill()
    stolen = canary.found_in(site.settings.state_dir, site.settings.upload_dir)
    stolen += canary.found_in(versions, private=True)
    problems += [f"{case}: read into {path}" for path in stolen]
    now = files_of(site.settings.upload_dir)
    problems += [f"{case}: upload {path} is lost" for path, digest in people.items() if now.get(path) != digest]
    if site.store.pointer().version is None and not case.startswith("pointer"):
        problems.append(f"{case}: nothing is live")
    # Deeper than what Python's own can remove.
    with safefs.opened_root(folder.parent) as above:
        trees.remove(above, folder.name)
    return len(operations), refused


def _check(site: Site, version: str) -> None:
    """Try a version by a command, and copy it as for a container."""
    site.flags["rehearsal_command"] = "true"
    try:
        promote.check(site.context(), version=version)
    finally:
        site.flags.pop("rehearsal_command")
    with rehearsal_copy.stage_version(site.context(), version):
        pass
