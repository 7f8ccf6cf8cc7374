"""YAML as compose files have it: plain data only, by the fast reader where there is one."""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str | bytes) -> Any:  # noqa: ANN401
    """Return what a text holds; yaml.YAMLError or ValueError when it is damaged."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - both are safe loaders
