"""The list of versions."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from govma_console.commands.settings import effective
from govma_console.output import print_json, print_table, warn
from govma_core.errors import ExitCode
from govma_core.settings import Settings
from govma_core.versions.manifest import Manifest, ManifestStore
from govma_core.versions.store import Version, VersionStore


def list_versions(given: argparse.Namespace) -> int:
    """Print the versions, the newest first; the current one is marked."""
    settings = effective(given)
    if not given.json:
        print_versions(settings)
        return ExitCode.OK
    store, manifests = VersionStore(settings.versions_dir), ManifestStore(settings.state_dir)
    pointer = store.pointer()
    print_json(
        {
            "current": pointer.version,
            "problem": pointer.problem,
            "versions": [_as_json(found, manifests.read(found.name), pointer.version) for found in store.versions()],
            "others": store.other_names(),
        }
    )
    return ExitCode.OK


def print_versions(settings: Settings) -> None:
    """Print the table of versions; what an operator should look at goes to standard error."""
    store, manifests = VersionStore(settings.versions_dir), ManifestStore(settings.state_dir)
    pointer = store.pointer()
    header = ("", "VERSION", "COMMIT", "SUBJECT", "AUTHOR", "DEPLOYED BY", "STATE")
    rows = [_row(found, manifests.read(found.name), pointer.version) for found in store.versions()]
    print_table(header, rows, cut=(3, 4), drop=(5, 4))
    if pointer.problem:
        warn(f"warning: {pointer.problem}")
    others = store.other_names()
    if others:
        warn(f"Left alone in {settings.versions_dir}: {', '.join(others)}")


def state_of(version: Version, manifest: Manifest | None) -> str:
    """Give a version's state in a word or two."""
    if not version.complete:
        return "incomplete"
    return manifest.result if manifest else "no manifest"


def _row(version: Version, manifest: Manifest | None, current: str | None) -> tuple[str, ...]:
    known = (manifest.commit[:9], manifest.subject, manifest.author, manifest.by) if manifest else ("-", "-", "-", "-")
    return ("*" if version.name == current else "", version.name, *known, state_of(version, manifest))


def _as_json(version: Version, manifest: Manifest | None, current: str | None) -> dict[str, Any]:
    return {
        "name": version.name,
        "made": version.made.isoformat() if version.made else None,
        "current": version.name == current,
        "complete": version.complete,
        "state": state_of(version, manifest),
        "manifest": dataclasses.asdict(manifest) if manifest else None,
    }
