"""The containers' view, given what is odd: compose files, deep trees, control characters."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from govma_core.services.compose import find_project
from govma_core.services.compose_config import read_config
from govma_core.services.source_drift import Due
from govma_core.services.storage import disk_use
from govma_core.settings import Settings
from govma_core.text.clean import clean_all
from tests.support.nesting import nest


@pytest.mark.parametrize(("lines", "wanted"), [("scale: 0", 0), ("deploy: {replicas: 0}", 0), ("labels: {}", 1)])
def test_none_is_a_number_of_containers_like_others(tmp_path: Path, lines: str, wanted: int) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    project = find_project(Settings(services_compose_dir=tmp_path))
    found = read_config(project, f"services:\n  one:\n    image: x\n    {lines}\n")
    assert found.services["one"].replicas == wanted


def test_a_tree_deeper_than_anybody_makes_is_not_followed_to_its_end(tmp_path: Path) -> None:
    """Guards the view: a container can make directories as deep as it likes."""
    nest(tmp_path, 150)
    fd = os.open(tmp_path, os.O_RDONLY)
    size, whole = disk_use(fd, "d", 20)
    os.close(fd)
    assert size is not None
    assert not whole


def test_what_a_terminal_would_obey_is_in_nothing_that_is_shown() -> None:
    """Guards the operator's terminal from names of files, images and containers."""
    odd = "a\x1b[2Jb\x9b"
    assert clean_all({"a": [odd, (odd, 1, None)], "b": {"c": odd}}) == {"a": ["ab", ["ab", 1, None]], "b": {"c": "ab"}}
    assert "\x1b" not in Due("a", "b", (f"docker/{odd}/Dockerfile",)).sentence()
