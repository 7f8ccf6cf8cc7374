"""What a command works with, made from its own --config and the environment."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from govma_core.settings import LoadedSettings, Settings, load

if TYPE_CHECKING:
    from govma_core.context import Context


def loaded(options: argparse.Namespace) -> LoadedSettings:
    """Load the effective settings with their origins."""
    return load(file=options.config)


def effective(options: argparse.Namespace) -> Settings:
    """Load the effective settings."""
    return loaded(options).settings


def narrating_context(options: argparse.Namespace) -> Context:
    """Return a context for an operation that only reads; what it reports is narrated on standard error."""
    from govma_console.narration import Narrator
    from govma_core.context import Context
    from govma_core.reporting import Reporter

    return Context.for_reading(effective(options), Reporter(Narrator(sys.stderr).tell))
