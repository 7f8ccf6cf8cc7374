"""A site whose runners are killed: how one is started with a fault, and what has to be true whatever became of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core.fs import safefs
from govma_core.runs.launch import Requester, prepare_store, write_down
from govma_core.runs.store import RunRecord, RunStore
from govma_core.settings import Settings, load
from govma_core.versions.contents import ContentsStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.store import VersionStore, missing_parts
from tests.support.deduping import separate
from tests.support.engine import REPOSITORY
from tests.support.sample import SampleSite, create_sample


@dataclass
class CrashSite:
    """A sample with a few versions, and what was found wrong with it so far."""

    sample: SampleSite
    flags: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path, **options: Any) -> CrashSite:
        """Make the sample with these options of its own, and deploy a few times."""
        site = cls(create_sample(root, files=20, vendor_files=12, **options), {"keep_versions": 2})
        for _ in range(2):
            site.recover()
        site.people = site.look_at_people()
        return site

    people: dict[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        return load({}, file=self.sample.config_file, flags=self.flags).settings

    @property
    def store(self) -> RunStore:
        return prepare_store(self.settings)

    @property
    def versions(self) -> VersionStore:
        return VersionStore(self.settings.versions_dir)

    def start(self, fault: str, operation: str, **arguments: Any) -> tuple[RunRecord, subprocess.Popen[str]]:
        """Start a run with a fault, in a session of its own as a runner has it."""
        record = write_down(self.store, self.settings, operation, arguments, Requester("ana", "test"))
        # The runner's name among the first words: by it a prune knows that a process is no user of a version.
        program = [sys.executable, "-m", "tests.support.faulty_runner", "govma_core.runs.runner"]
        line = [*program, fault, str(self.settings.state_dir), record.id]
        with (self.store.path(record.id) / "runner.err").open("w") as errors:
            process = subprocess.Popen(
                line, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
            )
        self.store.note_process(record.id, process.pid)
        return record, process

    def run(self, fault: str, operation: str, **arguments: Any) -> tuple[RunRecord, int, str]:
        """Run it to its end, whatever that is; give the record then, the exit code and what it printed."""
        record, process = self.start(fault, operation, **arguments)
        out, _ = process.communicate(timeout=120)
        return self.store.read(record.id), process.returncode, out

    def prepare(self, operation: str, rng: random.Random) -> dict[str, Any]:
        """Have something to do for an operation; give its arguments."""
        names = [version.name for version in self.versions.versions() if version.complete]
        live = self.versions.pointer().version
        if operation == "deploy":
            if rng.random() < 0.5:
                self.sample.commit({"data/html/robots.txt": f"{rng.random()}"}, "Outra")
            # The commit may be that of a version that a rollback left.
            return {"rebuild": rng.random() < 0.3, "force": True}
        if operation == "dedupe":
            separate(self.settings.versions_dir)
        if operation == "rollback":
            return {"version": rng.choice([name for name in names if name != live])}
        return {"version": rng.choice(names)} if operation == "promote" else {}

    def recover(self) -> None:
        """Deploy: it has to succeed, and to leave nothing of what was interrupted."""
        record, code, _ = self.run("none", "deploy", force=True)
        if code != 0:
            self.problems.append(f"the next deploy failed: {record.message}")
        self.problems += [f"left over: {path}" for path in self.leftovers()]
        left = at_work_below(self.sample.root, self.settings.build_uid)
        self.problems += [f"left over: process {process}" for process in left]

    def check(self, what: str, record: RunRecord, *, killed: bool) -> None:
        """Take down everything that must not be so, right after a kill."""
        found = []
        record = self.store.read(record.id)
        if killed and record.state not in ("interrupted", "ok"):
            found.append(f"the record says {record.state}")
        pointer = self.versions.pointer()
        if pointer.version is None:
            found.append(f"nothing is live: {pointer.problem}")
        for name in (version.name for version in self.versions.versions()):
            found += [f"{name}: {problem}" for problem in self.unsound(name)]
        with open(self.settings.state_dir / "lock", "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append("the lock is held")
        people = self.look_at_people()
        found += [f"upload {path} is lost" for path, digest in self.people.items() if people.get(path) != digest]
        self.problems += [f"{what}: {problem}" for problem in found]

    def unsound(self, name: str) -> list[str]:
        """Tell what is wrong with a version under its official name; what deploy.sh made has no record to tell."""
        path = self.settings.versions_dir / name
        with safefs.opened_root(self.settings.versions_dir) as fd:
            found = [f"{part} is missing" for part in missing_parts(fd, name)]
        manifest = ManifestStore(self.settings.state_dir).read(name)
        contents = ContentsStore(self.settings.state_dir).read(name)
        if name == "data-build--2021-09-03-00h03m29s":
            return found
        if manifest is None or contents is None:
            return [*found, "it has no manifest or no record of its contents"]
        there = files_of(path)
        sealed = {path: entry.digest for path, entry in contents.items() if entry.mode >= 0}
        if len(there) != manifest.files:
            found.append(f"{len(there)} files, {manifest.files} in the manifest")
        if there != sealed:
            found.append("files are not what was published")
        return found

    def look_at_people(self) -> dict[str, str]:
        """Return the digest of everything in the persistent directories."""
        return files_of(self.settings.upload_dir) | files_of(self.settings.image_dir or self.settings.upload_dir)

    def leftovers(self) -> list[str]:
        """Return what a killed run may leave and the next one has to remove."""
        settings = self.settings
        places: list[tuple[Path, Callable[[str], bool]]] = [
            (settings.versions_dir, lambda name: name.startswith(".")),
            (settings.work_dir.parent, lambda name: name.startswith(".govma")),
            (settings.source_dir / ".git", lambda name: name.endswith(".lock")),
        ]
        found = [
            str(place / name) for place, ours in places if place.is_dir() for name in os.listdir(place) if ours(name)
        ]
        for root in (settings.upload_dir, settings.state_dir):
            found += [str(path) for path in root.rglob(".*") if path.name.startswith(".")]
        return [path for path in found if "/.htaccess" not in path]


def at_work_below(root: Path, uid: int) -> list[str]:
    """Return the processes of a user that stand below a directory, whatever they did to hide."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            ids = re.findall(rb"^Uid:\t(\d+)", (process / "status").read_bytes(), re.MULTILINE)
            if int(ids[0]) == uid and (process / "cwd").readlink().is_relative_to(root):
                found.append(f"{process.name} ({(process / 'comm').read_text().strip()})")
    return found


def files_of(root: Path) -> dict[str, str]:
    found = {}
    for at, _, names in os.walk(root):
        for name in names:
            path = os.path.join(at, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    digest = hashlib.blake2b(file.read(), digest_size=16).hexdigest()
                found[os.path.relpath(path, root)] = digest
    return found
