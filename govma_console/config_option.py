"""What a command works with, made from its own --config and the environment."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from govma_core.settings import LoadedSettings, Settings, load

if TYPE_CHECKING:
    # `list` and `status` need neither, nor what starts and follows runs.
    from govma_core.context import Context
    from govma_core.reporting import Reporter


def loaded(options: argparse.Namespace) -> LoadedSettings:
    """Load the effective settings with their origins."""
    return load(file=options.config)


def effective(options: argparse.Namespace) -> Settings:
    """Load the effective settings."""
    return loaded(options).settings


def reading_context(settings: Settings, reporter: Reporter | None = None) -> Context:
    """Return a context for an operation that only reads."""
    from govma_core.context import Context

    return Context.for_reading(settings, reporter)


def narrating_context(options: argparse.Namespace) -> Context:
    """Return a context for an operation that only reads; what it reports is narrated on standard error."""
    from govma_console.narration import narrating_reporter

    return reading_context(effective(options), narrating_reporter(sys.stderr))


def prepare_change(settings: Settings) -> str:
    """Make state_dir ready for a change that takes no run, and return who makes it; RefusedError without the right."""
    from govma_core.runs.launch import local_requester, prepare_store

    prepare_store(settings)
    return local_requester("cli").by
