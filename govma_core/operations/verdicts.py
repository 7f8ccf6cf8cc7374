"""What becomes known about a version once it was tried or live, written down for those who decide later."""

from __future__ import annotations

from govma_core.operations.context import Context


def mark_failed(context: Context, version: str, reason: str) -> None:
    """Mark a version that did not pass its rehearsal."""
    context.reporter.warning(f"{version} is kept, marked as failed; current-version is as it was.")


def mark_bad(context: Context, version: str, commit: str, reason: str) -> None:
    """Mark a version that did not serve as it must, and hold deploys of its commit."""


def note_result(context: Context, result: str) -> None:
    """Add to the history what the promotion of this run came to; a failure to write is a warning."""
