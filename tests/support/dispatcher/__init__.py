"""The server that ours takes over from, as its description has it: written in Go, built with Debian's compiler."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.command import environment
from tests.support.engine import REPOSITORY
from tests.support.waiting import wait_for

_SOURCE = Path(__file__).parent / "main.go"
_CACHE = REPOSITORY / ".cache" / "dispatcher"
_LISTENING = re.compile(r"Listening on http://([^\s:]+):(\d+)")


class NoCompilerError(Exception):
    """There is no Go to build it with."""


def built() -> Path:
    """Return the program, built once for each text of its source; NoCompilerError where that cannot be done."""
    program = _CACHE / hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:16]
    if not program.exists():
        if shutil.which("go") is None:
            raise NoCompilerError("go is not installed (apt-get install golang-go)")
        _CACHE.mkdir(parents=True, exist_ok=True)
        # Built beside and renamed: two sessions may do it at once.
        staged = _CACHE / f".{program.name}-{os.getpid()}"
        variables = environment(GOCACHE=str(_CACHE / "go-build"), GO111MODULE="off", CGO_ENABLED="0")
        subprocess.run(["go", "build", "-o", str(staged), str(_SOURCE)], env=variables, check=True)
        staged.replace(program)
    return program


class Dispatcher:
    """A running one, that deploys by a bash script of these lines; from `with` to the end of the block."""

    def __init__(self, folder: Path, script: str) -> None:
        self._command = folder / "deploy.sh"
        self._command.write_text(f"#!/bin/bash\n{script}\n")
        self._command.chmod(0o755)
        self._log = folder / "dispatcher.log"
        self.host, self.port = "127.0.0.1", 0

    @property
    def url(self) -> str:
        """Return the address without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def __enter__(self) -> Dispatcher:
        program = built()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(program)],
                env=environment(LISTEN_ADDR="127.0.0.1:0", DEPLOY_CMD=str(self._command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.port = int(wait_for(lambda: _LISTENING.search(self._log.read_text()), "the dispatcher's address")[2])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
