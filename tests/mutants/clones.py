"""Copies of the working tree, in which tests run without reaching anything else."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

from tests.mutants.mutations import Mutant

_PYTEST = (
    ".venv/bin/python",
    "-m",
    "pytest",
    "-x",
    "-q",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:schemathesis",
    "-m",
    "not engine and not node",
)
# Whatever ends the thread that started it, also a SIGKILL, ends all that runs in it.
_SANDBOX = (
    "setpriv",
    "--pdeathsig=KILL",
    "unshare",
    "--mount",
    "--net",
    "--ipc",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
_NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*cache", ".hypothesis")


class Clone:
    """A copy of the working tree `root` as it is now, in its `.cache/mutants`; SystemExit without namespaces."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.path = root, root / ".cache/mutants" / name
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.copytree(root, self.path, symlinks=True, ignore=_NOT_COPIED)
        (self.path / ".cache").mkdir()
        if self._run(["true"], 60) != 0:
            raise SystemExit(f"make mutants needs root, and namespaces of its own: {self.output()}")

    def run_tests(self, arguments: list[str], seconds: float, **variables: str) -> int | None:
        """Run pytest up to the first test that fails; return its exit code, None after the seconds."""
        return self._run([*_PYTEST, *arguments], seconds, **variables)

    def run_mutant(self, mutant: Mutant, arguments: list[str], seconds: float) -> int | None:
        """Do the same while a mutant's file is changed."""
        path = self.path / mutant.file
        path.write_text(mutant.code)
        # A time of its own: Python takes compiled code for that of any file with the same time and size.
        os.utime(path, (zlib.crc32(mutant.code.encode()),) * 2)
        try:
            return self.run_tests(arguments, seconds)
        finally:
            shutil.copy2(self.root / mutant.file, path)

    def output(self) -> str:
        """Return the end of what the last command printed."""
        return (self.path / ".cache/output").read_text(errors="replace")[-2000:]

    def _run(self, command: list[str], seconds: float, **variables: str) -> int | None:
        """Run a command where the clone stands in the place of the tree."""
        script = Path(__file__).with_name("sandbox.sh")
        with (self.path / ".cache/output").open("wb") as output:
            try:
                return subprocess.run(
                    [*_SANDBOX, script, self.root, self.path, *command],
                    env={name: value for name, value in os.environ.items() if name != "DOCKER_HOST"} | variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    timeout=seconds,
                    start_new_session=True,  # a Ctrl-C must not look like a test that failed
                ).returncode
            except subprocess.TimeoutExpired:
                return None
