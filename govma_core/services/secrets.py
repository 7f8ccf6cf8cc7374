"""Which values are masked: those of now, and those that containers still have from before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from govma_core.services.mask import NameMask
from govma_core.services.project import Project
from govma_core.services.wanted import WantedProject

if TYPE_CHECKING:
    # Docker is imported there: here only its answers are looked at.
    from govma_core.services.running import Seen

_TELLING = 4
"""Characters: in the midst of another value a shorter one may be anything."""


def whole_mask(project: Project, wanted: WantedProject | None, seen: Seen) -> NameMask:
    """Return the mask of all secrets: also of those that containers still have, and that `.env` had before."""
    known = wanted.secrets if wanted else project.secrets
    secrets = {name: set(values) for name, values in known.items()}
    for environment in seen.environments:
        for name in known.keys() & environment.keys():
            secrets[name].add(environment[name])
            for now in known[name]:
                for part, value in _former_parts(known, now, environment[name]):
                    secrets[part].add(value)
    texts = project.texts()
    # A name that compose made may be shown, or one that the compose file has; else it is a variable's.
    names = {each.name for each in seen.containers if each.name.startswith(project.name) or each.name in texts}
    return NameMask(secrets, project.harmless | {each.service for each in seen.containers} | names)


def _former_parts(known: Mapping[str, set[str]], now: str, before: str) -> Iterator[tuple[str, str]]:
    """Yield by name what stood in a value where other values stand in it now: `before` of `mysql://user:before@db`."""
    inside = {
        value: name
        for name, values in known.items()
        for value in values
        if len(value) >= _TELLING and value != now and value in now
    }
    if not inside or now == before:
        return
    pieces = re.split("(" + "|".join(map(re.escape, sorted(inside, key=len, reverse=True))) + ")", now)
    pattern = "".join("(.+)" if piece in inside else re.escape(piece) for piece in pieces)
    match = re.fullmatch(pattern, before, re.DOTALL)
    if match:
        yield from zip((inside[piece] for piece in pieces if piece in inside), match.groups(), strict=True)
