"""The probe: a page with an unguessable name by which PHP itself tells which version it answers from.

One file with two names, one in the version that is live and one in the one that will be, as files are that did not
change between the two. Asked before the switch, PHP has it in its caches under the path through `current-version`, with
what that path led to; so it goes on telling the old version until neither the realpath cache nor OPcache is stale.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from govma_core import safefs
from govma_core.errors import UnsafeTreeError

OURS = re.compile(r"govma-probe-[0-9a-f]{32}\.php")
_PAGE = """<?php
header('Content-Type: text/plain');
header('Cache-Control: no-store');
if (function_exists('usleep')) { usleep(20000); }
$worker = function_exists('getmypid') ? getmypid() : 0;
echo basename(dirname(__DIR__)), ' ', substr(hash('sha256', '%s' . $worker), 0, 16), "\\n";
"""
"""It waits a little, so that requests at the same time meet different workers, and tells them apart without saying who
they are."""

# OPcache takes up no file that is younger than two seconds (opcache.file_update_protection).
_AGE = 3600


@contextmanager
def placed(versions_fd: int, versions: Sequence[str]) -> Iterator[str]:
    """Have a probe in the `html/` of these versions, gone after the block; give its path on the site.

    OSError or UnsafeTreeError when it cannot be written.
    """
    name = f"govma-probe-{secrets.token_hex(16)}.php"
    content = (_PAGE % secrets.token_hex(16)).encode()
    try:
        first, *rest = versions
        with safefs.opened(versions_fd, first, "html") as html:
            _write(html, name, content)
            for other in rest:
                with safefs.opened(versions_fd, other, "html") as second:
                    os.link(name, name, src_dir_fd=html, dst_dir_fd=second, follow_symlinks=False)
        yield f"/{name}"
    finally:
        for version in versions:
            _remove(versions_fd, version, [name])


def sweep(versions_fd: int, versions: Sequence[str]) -> None:
    """Remove what a killed run left in these versions. Only under the lock."""
    for version in versions:
        with suppress(OSError, UnsafeTreeError), safefs.opened(versions_fd, version, "html") as html:
            found = [entry.name for entry in safefs.entries(html) if OURS.fullmatch(entry.name)]
            _remove(versions_fd, version, found)


def _write(html: int, name: str, content: bytes) -> None:
    fd = os.open(name, safefs.CREATE_FLAGS, 0o644, dir_fd=html)
    try:
        os.write(fd, content)
        os.fchmod(fd, 0o644)
        past = time.time() - _AGE
        os.utime(fd, (past, past))
    finally:
        os.close(fd)


def _remove(versions_fd: int, version: str, names: Sequence[str]) -> None:
    """Remove names of ours from a version; one that is gone needs none."""
    with suppress(OSError, UnsafeTreeError), safefs.opened(versions_fd, version, "html") as html:
        for name in names:
            with suppress(OSError):
                os.unlink(name, dir_fd=html)
