"""A real terminal for the real command: tmux, driven by send-keys and capture-pane."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.command import environment
from tests.support.waiting import wait_for

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux (apt-get install tmux)")


@dataclass(frozen=True, slots=True)
class Terminal:
    """One tmux server with one window, in which govma-console runs; it lasts as long as its server."""

    socket: str

    @classmethod
    def open(cls, config: Path, size: tuple[int, int] = (80, 24), **variables: str) -> Terminal:
        """Start govma-console in a new terminal."""
        terminal = cls(f"govma-test-{uuid.uuid4().hex[:12]}")
        width, height = size
        command = [sys.executable, "-m", "govma_console", "--config", str(config)]
        line = " ".join(f"'{part}'" for part in command) + "; echo EXIT=$?; exec sleep 600"
        window_environment = environment(**({"TERM": "screen-256color", "LANG": "C.UTF-8"} | variables))
        # COLUMNS and LINES would count more than the size of the window.
        for name in ("TMUX", "NO_COLOR", "SSH_CONNECTION", "COLUMNS", "LINES"):
            if name not in variables:
                window_environment.pop(name, None)
        subprocess.run(
            [
                "tmux",
                "-L",
                terminal.socket,
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                str(width),
                "-y",
                str(height),
                line,
            ],
            env=window_environment,
            check=True,
            capture_output=True,
        )
        return terminal

    def keys(self, *keys: str) -> None:
        """Press keys, by tmux's names."""
        self._tmux("send-keys", *keys)

    def text(self, *, escapes: bool = False) -> str:
        """Return what the terminal shows."""
        return self._tmux("capture-pane", "-p", *(["-e"] if escapes else []))

    def sees(self, text: str) -> str:
        """Wait until the terminal shows a text, and return all of it."""
        try:
            return wait_for(lambda: screen if text in (screen := self.text()) else None, repr(text))
        except AssertionError:
            raise AssertionError(f"{text!r} did not appear; the terminal shows\n{self.text()}") from None

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def pid(self) -> int:
        """Return the process in the window."""
        return int(self._tmux("list-panes", "-F", "#{pane_pid}").strip())

    def close(self) -> None:
        """End the terminal as a lost line does: its processes are hung up."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True, check=False)
        # The server leaves its socket where it was.
        directory = Path(os.environ.get("TMUX_TMPDIR", "/tmp")) / f"tmux-{os.getuid()}"
        (directory / self.socket).unlink(missing_ok=True)

    def _tmux(self, *arguments: str) -> str:
        process = subprocess.run(
            ["tmux", "-L", self.socket, *arguments], capture_output=True, text=True, check=True, env=os.environ
        )
        return process.stdout
