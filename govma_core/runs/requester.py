"""Who asks for a run, and from where."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass

from govma_core.language import tr


@dataclass(frozen=True, slots=True)
class Requester:
    """`by` is a user's name, `origin` the front end with what is known of the line (`cli, ssh from 10.0.0.7`)."""

    by: str
    origin: str


def local_requester(front_end: str) -> Requester:
    """Return the person at this terminal: behind sudo the one who called it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    caller = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    by = tr("{caller} (sudo)", caller=caller) if caller and caller != name else name
    line = os.environ.get("SSH_CONNECTION", "").split()
    return Requester(by, tr("{front_end}, ssh from {line}", front_end=front_end, line=line[0]) if line else front_end)
