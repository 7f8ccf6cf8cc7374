"""Manifests: the commit, the run and the inputs that a version was made of, out of reach of the web server."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from govma_core.fs import jsonfile


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOrigin:
    """Where what a step of the build made comes from: the run that it was reused from ('': it ran), or why it ran.

    `changed` are inputs that were not as in the run recorded last. `unrecorded` says in a word why it cannot be
    reused, and `unnamed` which files it read that its globs leave out.
    """

    name: str
    run: str = ""
    why: str = ""
    changed: tuple[str, ...] = ()
    seconds: float = 0.0
    unrecorded: str = ""
    unnamed: tuple[str, ...] = ()


class Fingerprint(NamedTuple):
    """What a version was made from: the commit, and hashes by the names of settings; '' for what is not recorded.

    What the assets are made from is in it: their inputs by the commit, their builder and its commands.
    """

    commit: str
    ee_tarball: str = ""
    themes_tarball: str = ""
    env_file: str = ""
    builder: str = ""
    build_commands: str = ""

    def differences(self, other: Fingerprint) -> list[str]:
        """Name the parts that differ; a part that either of them does not record counts as equal."""
        parts = zip(self._fields, self, other, strict=True)
        return [name for name, mine, theirs in parts if mine and theirs and mine != theirs]

    def matches(self, other: Fingerprint) -> bool:
        """Tell whether both were made from the same: the same commit, and nothing recorded that differs."""
        return bool(self.commit and other.commit) and not self.differences(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The record of a version. Times are seconds since the epoch; hashes are sha256 in hex, never content."""

    version: str
    run: str
    commit: str
    subject: str
    author: str
    committed: float
    ref: str
    by: str
    origin: str
    started: float
    finished: float = 0.0
    ee_sha256: str = ""
    themes_sha256: str = ""
    env_sha256: str = ""
    builder: str = ""
    builder_id: str = ""
    commands_sha256: str = ""
    assets: str = ""
    files: int = 0
    bytes: int = 0
    result: str = ""
    steps: tuple[StepOrigin, ...] = ()
    """Of the build, in their order; none where that was not recorded."""
    forced: str = ""
    """The hold against which the deploy was forced, as a sentence."""

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what the version was made from."""
        builder = f"{self.builder}:{self.builder_id}" if self.builder_id else ""
        return Fingerprint(
            self.commit, self.ee_sha256, self.themes_sha256, self.env_sha256, builder, self.commands_sha256
        )


_STEP_NAMES = frozenset(field.name for field in dataclasses.fields(StepOrigin))
_NAMES = frozenset(field.name for field in dataclasses.fields(Manifest))
_TEXTS = {field.name for field in dataclasses.fields(Manifest) if field.type == "str"}


class ManifestStore:
    """Manifests below `<state_dir>/versions/`, one file named after its version."""

    def __init__(self, state_dir: Path) -> None:
        self._directory = state_dir / "versions"

    def write(self, manifest: Manifest) -> None:
        """Write the manifest, replacing an earlier one of the same version."""
        self._directory.mkdir(exist_ok=True)
        jsonfile.replace(self._path(manifest.version), dataclasses.asdict(manifest))

    def discard(self, version: str) -> None:
        """Remove the manifest of a version, if it has one."""
        self._path(version).unlink(missing_ok=True)

    def read(self, version: str) -> Manifest | None:
        """Return the manifest of a version; None when there is none (deploy.sh made it) or it is damaged."""
        data = jsonfile.read(self._path(version))
        return _from(data) if data else None

    def twins(self, version: str | None, others: Iterable[str], env_sha256: str = "") -> set[str]:
        """Return those of the other versions that were made from the same as this one; none where that is not known.

        With `env_sha256` they are compared as they will be, once each has that env file.
        """
        manifest = self.read(version) if version else None
        if manifest is None:
            return set()
        twins = set()
        for name in others:
            other = self.read(name) if name != version else None
            if other is not None:
                fingerprint = other.fingerprint._replace(env_file=env_sha256 or other.env_sha256)
                twins |= {name} if fingerprint.matches(manifest.fingerprint) else set()
        return twins

    def commits(self) -> set[str]:
        """Return the commits that all versions with a manifest were made from."""
        manifests = (self.read(path.stem) for path in self._directory.glob("*.json"))
        return {manifest.commit for manifest in manifests if manifest}

    def _path(self, version: str) -> Path:
        return self._directory / f"{version}.json"


def _from(data: dict[str, Any]) -> Manifest | None:
    fields = {name: value for name, value in data.items() if name in _NAMES}
    try:
        fields["steps"] = tuple(_step(step) for step in fields.get("steps", ()))
        right = all(isinstance(value, _kind(name)) for name, value in fields.items())
        return Manifest(**fields) if right else None
    except (AttributeError, TypeError, ValueError):
        return None


def _kind(name: str) -> Any:  # noqa: ANN401
    return tuple if name == "steps" else str if name in _TEXTS else int | float


def _step(plain: dict[str, Any]) -> StepOrigin:
    """Return a step as JSON holds it; TypeError, ValueError or AttributeError for anything else."""
    step = StepOrigin(**{name: value for name, value in plain.items() if name in _STEP_NAMES})
    paths = {name: tuple(map(str, getattr(step, name))) for name in ("changed", "unnamed")}
    texts = {name: str(getattr(step, name)) for name in ("name", "run", "why", "unrecorded")}
    return dataclasses.replace(step, seconds=float(step.seconds), **paths, **texts)  # type: ignore[arg-type]
