"""Disks without room: errors at each change of a file system, and a real small one with a little less each time.

After each run: `current-version` names a whole version, the run's end is recorded, and with room again the next deploy
succeeds and leaves nothing. A rollback succeeds though state_dir is full, read-only or gone.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from govma_core.errors import GovmaError
from govma_core.runs.store import RunStore
from tests.faults.result import Result
from tests.support.command import Command
from tests.support.crashes import CrashSite
from tests.support.waiting import wait_for

OPERATIONS = ("deploy", "rollback", "promote", "dedupe", "prune")
_LARGE = "size=512m,nr_inodes=200000"


def sweep(
    folder: Path, errors: int = 12, rooms: int = 16, operations: Sequence[str] = OPERATIONS, seed: int = 11
) -> Result:
    """Have `errors` changes of each operation fail, then deploy with `rooms` amounts of bytes and of inodes left."""
    folder.chmod(0o755)
    rng, began = random.Random(seed), time.monotonic()
    with mounted(folder / "small", _LARGE):
        site = CrashSite.make(folder / "small/site")
        failed = sum(_fails(site, rng, operation, errors) for operation in operations)
        short = sum(_short(site, rng, folder / "small", number, rooms) for number in range(rooms))
        closed = sum(_read_only(site, rng, operation) for operation in operations)
        saved = _saved(site, folder)
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "no space, no inodes, read-only, state_dir full or gone, at each stage",
        f"{failed} runs with an error at a change, or from it on, {short} with too little room, {closed} on what is "
        f"read-only, {saved} rollbacks and deploys without state_dir",
        f"every end recorded; {time.monotonic() - began:.0f} s",
        len(site.problems),
        min(failed, short),
    )


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs for the block."""
    path.mkdir(mode=0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def _fails(site: CrashSite, rng: random.Random, operation: str, most: int) -> int:
    _, code, out = site.run("none", operation, **site.prepare(operation, rng))
    if code != 0:
        site.problems.append(f"{operation} failed with all room there is")
        return 0
    site.recover()
    changes, done = int(out.split()[1]), 0
    for number in range(1, changes + 1, max(1, changes // most)):
        for fault in (f"error:{number}:ENOSPC", f"error:{number}:EROFS", f"once:{number}:ENOSPC"):
            before = site.versions.pointer().version
            arguments = site.prepare(operation, rng)
            record, code, _ = site.run(fault, operation, **arguments)
            _judge(site, f"{operation} with {fault}", record.id, code, before)
            site.recover()
            done += 1
    return done


def _judge(site: CrashSite, what: str, run_id: str, code: int, before: str | None) -> None:
    site.check(what, site.store.read(run_id), killed=False)
    _judge_end(site, what, run_id, code, before)


def _judge_end(site: CrashSite, what: str, run_id: str, code: int, before: str | None) -> None:
    record = site.store.read(run_id)
    if code == -signal.SIGKILL or record.state not in ("ok", "failed", "refused"):
        site.problems.append(f"{what}: ended with {code}, the record says {record.state}")
    now = site.versions.pointer().version
    if now != before and (record.state != "ok" or record.version != now):
        site.problems.append(f"{what}: {now} is live, and the record says {record.state} of {record.version!r}")
    if (record.state == "ok") != (code == 0):
        site.problems.append(f"{what}: exit code {code}, but the record says {record.state}")
    if record.state == "failed" and not record.message.strip():
        site.problems.append(f"{what}: failed without a sentence")


def _short(site: CrashSite, rng: random.Random, place: Path, number: int, rooms: int) -> int:
    """Deploy with less room than it needs, once too few bytes, once too few inodes."""
    started = 0
    for scarce in ("bytes", "inodes"):
        before = site.versions.pointer().version
        site.prepare("deploy", rng)
        found = os.statvfs(place)
        used, inodes = (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree
        options = f"size={used + 16_384 + 900_000 * number // rooms},nr_inodes=200000"
        if scarce == "inodes":
            options = f"size=512m,nr_inodes={inodes + 12 + 700 * number // rooms}"
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)
        ended: tuple[str, int] | None = None
        # With too little room for its record it is not even started.
        with suppress(GovmaError):
            record, code, _ = site.run("none", "deploy", rebuild=True)
            ended = record.id, code
        subprocess.run(["mount", "-o", f"remount,{_LARGE}", place], check=True)
        if ended is not None:
            started += 1
            _judge(site, f"deploy with {options}", *ended, before)
        site.recover()
    return started


def _read_only(site: CrashSite, rng: random.Random, operation: str) -> int:
    """Run an operation while a directory that it writes is mounted read-only."""
    settings, done = site.settings, 0
    places = [settings.versions_dir]
    if operation == "deploy":
        places += [settings.upload_dir, settings.work_dir.parent, settings.source_dir]
    for place in places:
        before = site.versions.pointer().version
        arguments = site.prepare(operation, rng)
        subprocess.run(["mount", "--bind", place, place], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)
            record, code, _ = site.run("none", operation, **arguments)
            _judge(site, f"{operation} with {place.name} read-only", record.id, code, before)
        finally:
            subprocess.run(["umount", place], check=True)
        site.recover()
        done += 1
    return done


def _saved(site: CrashSite, folder: Path) -> int:
    """Roll back by the command while state_dir is full, has no inode, is read-only, or is gone."""
    state = folder / "state"
    done = 0
    # What belongs to one state_dir is refused to another.
    for note in ("versions-dir", "work-dir"):
        (site.sample.state_dir / note).unlink()
    for name, options in (("full", "size=2m"), ("without inodes", "nr_inodes=300"), ("read-only", "size=2m")):
        state.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{options},mode=755", "tmpfs", state], check=True)
        try:
            site.flags["state_dir"] = str(state)
            _set(site, state)
            site.recover()
            site.recover()
            fill(state, name)
            done += _rollback(site, name)
            if name == "read-only":
                subprocess.run(["mount", "-o", "remount,rw", state], check=True)
            _empty(state)
            site.recover()
            if name != "read-only":
                done += _filled_midway(site, state, name)
                site.recover()
        finally:
            subprocess.run(["umount", state], check=True)
            state.rmdir()
    site.flags.pop("state_dir")
    _set(site, site.sample.state_dir)
    site.recover()
    shutil.rmtree(site.sample.state_dir)
    live = site.versions.pointer().version
    other = next(v.name for v in site.versions.versions() if v.name != live and v.complete)
    done += _rollback(site, "gone", other)
    site.recover()
    # Another site of this machine may need that place at this moment; an empty one is nobody's.
    spare = RunStore(site.sample.root.parent).spare
    entries = [path.name for path in spare.parent.glob("*")] if spare.parent.exists() else ["another"]
    if not entries or any(name.startswith(spare.name) for name in entries):
        site.problems.append(f"left over: {spare.parent}")
    return done


def _filled_midway(site: CrashSite, state: Path, name: str) -> int:
    """Deploy, and have state_dir get full while it builds."""
    before = site.versions.pointer().version
    site.flags["install_command"] = "sleep 1; sh tools/build.sh install"
    record, process = site.start("none", "deploy", rebuild=True, force=True)
    wait_for(lambda: site.store.read(record.id).stage.startswith("assets"), "the build")
    fill(state, name)
    process.communicate(timeout=120)
    # The versions from before have their records elsewhere.
    _judge_end(site, f"deploy while state_dir gets {name}", record.id, process.returncode, before)
    live = site.versions.pointer().version
    if live is None or (live != before and site.unsound(live)):
        site.problems.append(f"deploy while state_dir gets {name}: {live} is live")
    site.flags.pop("install_command")
    _empty(state)
    return 1


def _set(site: CrashSite, state: Path) -> None:
    config = site.sample.config_file
    lines = [line for line in config.read_text().splitlines() if not line.startswith("state_dir")]
    config.write_text("\n".join([f'state_dir = "{state}"', *lines]) + "\n")


def fill(state: Path, name: str) -> None:
    """Leave no byte, no inode, or no right to write."""
    if name == "read-only":
        subprocess.run(["mount", "-o", "remount,ro", state], check=True)
        return
    try:
        for number in range(10_000):
            if name == "full":
                with (state / f"filler-{number}").open("wb") as file:
                    file.write(bytes(1 << 14))
            else:
                (state / f"filler-{number}").touch()
    except OSError:
        return
    raise AssertionError(f"{state} does not get full")


def _empty(state: Path) -> None:
    for path in state.glob("filler-*"):
        path.unlink()


def _rollback(site: CrashSite, name: str, *arguments: str) -> int:
    before = site.versions.pointer().version
    done = Command(site.sample.config_file, site.settings.state_dir).run("rollback", *arguments)
    if done.code != 0 or site.versions.pointer().version == before:
        site.problems.append(f"rollback with a state_dir that is {name}: exit code {done.code}, {done.err}")
    return 1
