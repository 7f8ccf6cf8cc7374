"""Compose's hashes of the settings of services: a container is made of the settings whose hash is in its label."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from govma_core.masking import Mask
from govma_core.services.compose import Project, Question
from govma_core.services.compose_config import ComposeConfig

Hashes = Mapping[str, Collection[str]]
"""By service the hashes of its settings as they are now, as many as compose has of the same; none where it has none."""


def read_hashes(
    project: Project, config: ComposeConfig, mask: Mask, question: Question | None = None
) -> dict[str, list[str]]:
    """Return the hashes, of version 2 or of version 1; `question`: version 1 was asked already (see ask_first)."""
    if config.second:
        return _second_hashes(project, config.data, mask)
    return _hashes_in([(question or ask_first(project)).answer(mask)])


def ask_first(project: Project) -> Question:
    """Begin to ask version 1."""
    return Question(project, "config", "--hash=*")


def _hashes_in(answers: Iterable[str]) -> dict[str, list[str]]:
    hashes: dict[str, list[str]] = {}
    for name, value in (line.split()[:2] for answer in answers for line in answer.splitlines() if " " in line):
        hashes.setdefault(name, []).append(value)
    return hashes


def _second_hashes(project: Project, config: Mapping[str, Any], mask: Mask) -> dict[str, list[str]]:
    """Return the hashes of version 2, whose answer to `config` is given.

    Asked about the files it leaves out what comes from env files (until 5.1), so it is asked about its answer. A
    container that was made without those it depends on (`up --no-deps`) has the hash without these (until 2.29.2).
    """
    services: Mapping[str, Any] = config["services"]
    alone = {name: {key: raw[key] for key in raw.keys() - {"depends_on"}} for name, raw in services.items()}
    texts = dict.fromkeys(json.dumps({**config, "services": each}, default=str) for each in (services, alone))

    def ask(text: str) -> str:
        return Question(project, "config", "--no-normalize", "--hash=*", text=text).answer(mask)

    with ThreadPoolExecutor() as at_once:
        hashes = _hashes_in(at_once.map(ask, texts))
    return {name: hashes[name] for name in hashes if not _shares(services[name])}


def _shares(service: Mapping[str, Any]) -> bool:
    """Tell whether it shares something with the container of another service, whose id is in the hash then."""
    modes = (service.get(key) for key in ("network_mode", "ipc", "pid"))
    return "volumes_from" in service or any(str(mode).startswith("service:") for mode in modes)
