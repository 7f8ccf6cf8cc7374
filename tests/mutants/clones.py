"""Copies of the working tree, in which tests run without reaching anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

PYTEST = [".venv/bin/python", "-m", "pytest", "-q", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider"]
_TIMES = iter(range(1_000_000_000, 2_000_000_000))
"""Each mutant has a time of its own, in seconds, so that Python never takes another one's compiled code for it."""


@dataclass
class Clone:
    """A copy of the working tree `root` below its `.cache/mutants`, and the command that runs in it."""

    root: Path
    name: str
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        """Return where it is."""
        return self.root / ".cache/mutants" / self.name

    def fill(self) -> None:
        """Copy what git knows, and what it would not ignore, as it is now."""
        shutil.rmtree(self.path, ignore_errors=True)
        listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, subprocess.check_output(listing, cwd=self.root).decode().split("\0")):
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if (self.root / name).exists():
                shutil.copy2(self.root / name, target, follow_symlinks=False)
        (self.path / ".cache").mkdir()

    def run(self, command: list[str], timeout: float | None = None, **variables: str) -> int | None:
        """Run the command where the clone stands in the place of the tree; give its exit code, None after the time.

        What it prints is in `.cache/output` of the clone.
        """
        sandbox = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        line = [*sandbox, str(Path(__file__).with_name("sandbox.sh")), str(self.root), str(self.path), *command]
        with (self.path / ".cache/output").open("wb") as output:
            # A session of its own: an interruption from the terminal must not look like a test that failed.
            process = subprocess.Popen(
                line,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            self._running[:] = [process]
            try:
                return process.wait(timeout)
            except subprocess.TimeoutExpired:
                return None
            finally:
                self.stop()

    def run_mutant(self, file: str, code: str, command: list[str], timeout: float, **variables: str) -> int | None:
        """Do the same while a file has another text."""
        path = self.path / file
        text, was = path.read_bytes(), path.stat()
        try:
            path.write_text(code)
            moment = next(_TIMES)
            os.utime(path, (moment, moment))
            return self.run(command, timeout, **variables)
        finally:
            path.write_bytes(text)
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))

    def stop(self) -> None:
        """End what runs; its processes end with it."""
        for process in self._running:
            process.kill()
            process.wait()

    def last_words(self) -> str:
        """Return the end of what the last command printed."""
        return (self.path / ".cache/output").read_text(errors="replace")[-2000:]
