"""The program `docker`, which builds images: BuildKit and credential helpers are its, not the engine's."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from govma_core.engine.client import host
from govma_core.fs import jsonfile

_PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "SSH_AUTH_SOCK")
_PASSED_ON_BEGINNINGS = (
    "DOCKER_", "BUILDKIT_", "BUILDX_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy",
)  # fmt: skip


def environment() -> dict[str, str]:
    """Return the environment of a program that has images built: of ours what is meant for it."""
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_BEGINNINGS)
    }
    # With attestations each build gives another image where nothing has changed.
    defaults = {"PATH": os.defpath, "LANG": "C.UTF-8", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    return defaults | passed_on | {"TERM": "dumb", "BUILDKIT_PROGRESS": "plain"}


def on_our_engine() -> dict[str, str]:
    """Return the environment with which an image comes to the engine that we ask: no other context or builder."""
    return environment() | {"DOCKER_HOST": host(), "BUILDX_BUILDER": "default"}


def ending_with_us(words: Sequence[str]) -> str:
    """Return the line for a shell that becomes this program, which is killed when the process that waits for it is."""
    dies_with_us = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    return f"exec {shlex.join([*dies_with_us, *words])}"


def missing_helpers() -> tuple[Path, list[str]]:
    """Return the path of docker's configuration, and the programs for credentials that it names and are not there."""
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    settings = jsonfile.read(path) or {}
    helpers = settings.get("credHelpers")
    names = {settings.get("credsStore"), *(helpers.values() if isinstance(helpers, dict) else ())} - {None, ""}
    programs = sorted(f"docker-credential-{name}" for name in names)
    return path, [program for program in programs if not shutil.which(program)]
