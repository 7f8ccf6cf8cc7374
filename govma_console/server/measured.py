"""What takes long to find out, for many who ask: by a process of its own, once for all who wait."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE

from govma_console.server.answers import Refusal
from govma_core.language import tr


class Measured:
    """One of our commands, run on demand. `arguments` are those that choose its settings, `what` it looks at."""

    def __init__(self, arguments: tuple[str, ...], command: str, what: str) -> None:
        self._what = what
        self._command = (sys.executable, "-P", "-m", "govma_console.cli", *arguments, command, "--json")
        self._going: asyncio.Task[bytes] | None = None

    async def get(self) -> bytes:
        """Return what it prints; whoever asks while it runs gets that."""
        if self._going is None or self._going.done():
            self._going = asyncio.get_running_loop().create_task(self._measure())
        return await asyncio.shield(self._going)

    async def _measure(self) -> bytes:
        # It forks, which a process with threads should not; and its memory is not ours to keep.
        process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd="/")
        out, err = await process.communicate()
        if process.returncode:
            raise Refusal(
                503,
                tr(
                    "{what} could not be looked at: {strip}",
                    what=self._what,
                    strip=err.decode("utf-8", "replace")[-500:].strip(),
                ),
            )
        return out
