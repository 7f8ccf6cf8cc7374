"""The interface of the builders, which run the build commands in the work dir as a user without rights."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from govma_core.building.build_script import BuildJob
from govma_core.building.docker_builder import DockerBuilder
from govma_core.building.local_builder import LocalBuilder
from govma_core.reporting import Reporter
from govma_core.settings import Settings


class Builder(Protocol):
    """A way to run the build. The reporter carries all output; builds are in what prepare() made ready."""

    def preflight(self) -> list[str]:
        """Return a sentence for each thing that is missing; empty when a build could start."""

    def remove_leftovers(self, reporter: Reporter) -> None:
        """End and remove what a killed run left running, before anything touches the work dir. Holds no lock itself."""

    def prepare(self, folder: Path | None, reporter: Reporter) -> str:
        """Make ready to build and return the identity of the environment (part of the asset cache's key).

        `folder` has the files of the builder's folder in the deployed commit; None when the commit has none.
        """

    def prepare_modules(self, reporter: Reporter) -> None:
        """Have the kept node_modules fit for the build's user, before the first step that runs."""

    def build(self, job: BuildJob, reporter: Reporter) -> None:
        """Run a step in its tree, beside others if need be; BuildError says that it failed, and how."""


def make_builder(settings: Settings) -> Builder:
    """Return the configured builder."""
    return LocalBuilder(settings) if settings.builder == "local" else DockerBuilder(settings)
