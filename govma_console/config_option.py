"""The settings a command works with, from its own --config and the environment."""

from __future__ import annotations

import argparse

from govma_core.settings import LoadedSettings, Settings, load


def loaded(given: argparse.Namespace) -> LoadedSettings:
    """Load the effective settings with their origins."""
    return load(file=given.config)


def effective(given: argparse.Namespace) -> Settings:
    """Load the effective settings."""
    return loaded(given).settings
