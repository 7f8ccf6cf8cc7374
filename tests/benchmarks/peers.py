"""What we are measured against, as it is on this machine."""

from __future__ import annotations

import subprocess

_PACKAGES = ("bash", "coreutils", "rdfind", "jdupes", "util-linux", "golang-go", "wrk", "docker.io", "docker-compose")


def versions() -> str:
    """Return the versions of the peers' Debian packages in one line; `hardlink` is of util-linux, `du` of coreutils."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${Version}, ", *_PACKAGES]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.removesuffix(", ")
