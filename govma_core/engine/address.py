"""Where the Docker engine is; known without loading docker."""

from __future__ import annotations

import os

_DEFAULT = "unix:///var/run/docker.sock"


def host() -> str:
    """Return the address of the engine: DOCKER_HOST, else the default socket."""
    return os.environ.get("DOCKER_HOST") or _DEFAULT


def socket_path() -> str:
    """Return the path of the engine's socket, '' when it is reached by another way."""
    kind, _, path = host().partition("://")
    return path if kind == "unix" else ""


def absent() -> bool:
    """Tell whether there is no engine: its socket is not there. One that cannot be looked at may be."""
    path = socket_path()
    if not path:
        return False
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        # There is something that this user may not look at: connecting says so.
        return False
    return False
