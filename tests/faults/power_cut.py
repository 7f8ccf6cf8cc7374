"""The power fails: a real ext4 stops writing at a random moment, is mounted again, and everything is looked at.

The ioctl with which ext4 is shut down (EXT4_IOC_SHUTDOWN without a flush of its journal) throws away what was not
written, as a power cut does; with a long commit interval and no flush on rename, only what was synced is there then.
"""

from __future__ import annotations

import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from govma_core.errors import GovmaError
from tests.faults.result import Result
from tests.support.crashes import CrashSite
from tests.support.waiting import wait_for

OPERATIONS = ("deploy", "deploy", "deploy", "rollback", "promote", "dedupe", "prune")
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSH = struct.pack("I", 2)
_SIZE = 1 << 30


def sweep(folder: Path, cuts: int = 98, seed: int = 5) -> Result:
    """Cut the power at `cuts` moments; after each the site is whole, and the next deploy succeeds."""
    folder.chmod(0o755)
    rng, began = random.Random(seed), time.monotonic()
    disk = Disk(folder)
    disk.mount()
    uploads: dict[Path, str] = {}
    early = 0
    try:
        site = CrashSite.make(disk.place / "site")
        for number in range(cuts):
            operation = OPERATIONS[number % len(OPERATIONS)]
            early += _cut(site, disk, rng, operation, uploads)
    finally:
        disk.unmount()
    for problem in site.problems[:20]:
        print(f"  {problem}", file=sys.stderr)
    return Result(
        "power cut on a real ext4 (what was not synced is gone), mounted again; then everything is looked at",
        f"{cuts} at a random moment ({early} before the end)",
        f"{cuts} deploys after them, all good; {time.monotonic() - began:.0f} s",
        len(site.problems),
        early,
    )


class Disk:
    """An ext4 of its own in a file, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.image, self.place = folder / "disk", folder / "place"
        self.place.mkdir()
        with self.image.open("wb") as file:
            file.truncate(_SIZE)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)

    def mount(self) -> None:
        options = "loop,noauto_da_alloc,commit=300"
        subprocess.run(["mount", "-o", options, self.image, self.place], check=True)
        self.place.chmod(0o755)

    def sync(self) -> None:
        subprocess.run(["sync", "-f", self.place], check=True)

    def cut(self) -> None:
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_FLUSH)
        finally:
            os.close(fd)

    def unmount(self) -> None:
        # What the dead left may take a moment to notice.
        line = ["umount", str(self.place)]
        wait_for(lambda: subprocess.run(line, capture_output=True, check=False).returncode == 0, "the disk's last user")

    def back(self) -> None:
        """Mount what is on the disk: a copy, as others' namespaces may keep the one that was shut down."""
        self.unmount()
        copy = self.image.with_suffix(".copy")
        subprocess.run(["cp", "--sparse=always", self.image, copy], check=True)
        copy.replace(self.image)
        self.mount()


def _age(site: CrashSite) -> None:
    """Have what is there be from before the machine's boot, as it is after a real power cut."""
    before = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) - 60
    for path in (*site.settings.source_dir.glob(".git/**/*.lock"), *(site.settings.state_dir / "runs").iterdir()):
        os.utime(path, (before, before))


def _cut(site: CrashSite, disk: Disk, rng: random.Random, operation: str, uploads: dict[Path, str]) -> bool:
    arguments = site.prepare(operation, rng)
    if operation == "deploy":
        name, content = f"pedido-{len(uploads)}.txt", f"{rng.random()}" * 500
        site.sample.commit({f"data/html/uploads/{name}": content}, "Um envio")
        uploads[site.settings.upload_dir / name] = content
    disk.sync()
    before = site.versions.pointer().version
    record, process = site.start("never", operation, **arguments)
    time.sleep(rng.uniform(0.05, 1.2 if operation == "deploy" else 0.4))
    early = process.poll() is None
    disk.cut()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    disk.back()
    _age(site)
    what = f"{operation}, power cut"
    try:
        site.check(what, record, killed=early)
    except GovmaError as error:
        # A run that had just begun may be gone with its record; what it did may not be there then.
        if site.versions.pointer().version != before:
            site.problems.append(f"{what}: {error}")
    site.recover()
    site.problems += [
        f"{what}: the upload {path.name} is not what was committed"
        for path, content in uploads.items()
        if not path.is_file() or path.read_text() != content
    ]
    return early
