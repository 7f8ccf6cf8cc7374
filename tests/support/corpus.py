"""A set of versions like a real site's: most files equal from one to the next, each with an inode of its own.

Deterministic by its seed, and quick enough to be made anew for each measurement.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from govma_core.process.workers import Forked
from govma_core.versions.store import PREFIX

OWNER = 33
_WRITTEN = b"written"
_WORDS = [first + second for first in ("ac", "ca", "de", "fi", "ho", "me", "pa") for second in ("dd", "lt", "mo", "ry")]

# Where the files lie: the share of all files and of all directories, depth below it, kinds of files.
_PLACES = (
    ("system/ee", 0.50, 0.55, 6, ("php", "php", "php", "js", "html")),
    ("system/user/templates/default_site", 0.20, 0.14, 1, ("html", "html", "html", "css", "js")),
    ("system/user/addons", 0.04, 0.06, 3, ("php", "html")),
    ("html/themes", 0.16, 0.15, 4, ("js", "css", "svg", "png")),
    ("html/docs", 0.04, 0.05, 2, ("html", "svg")),
    ("html/assets", 0.06, 0.05, 2, ("css", "js", "jpg", "woff2")),
)
_ALWAYS = ("html/index.php", "html/.htaccess", "system/user/config/config.php", "system/user/config/.env")
_MODES = {"html/index.php": 0o755, "system/user/config/config.php": 0o600, "system/user/config/.env": 0o640}


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a set is; sizes in bytes are of one version. `changed` is the share of files that a version changes."""

    versions: int = 40
    files: int = 5000
    directories: int = 600
    size: int = 60_000_000
    changed: float = 0.03
    seed: int = 3

    @property
    def names(self) -> list[str]:
        """Return the names of the versions, oldest first."""
        return [f"{PREFIX}2024-{1 + n // 28 % 12:02d}-{1 + n % 28:02d}-10h00m00s" for n in range(self.versions)]


def make_corpus(versions_dir: Path, shape: Shape, only: Collection[str] | None = None, processes: int = 1) -> list[str]:
    """Write the versions (those named by `only`, when given) and `current-version` to the newest of all; give names.

    Files belong to 33:33 when we are root. Nothing is synced.
    """
    versions_dir.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in shape.names if only is None or name in only]
    shares = [wanted[start::processes] for start in range(processes)]
    helpers = [Forked(partial(_write_versions, versions_dir, shape, share)) for share in shares[1:]]
    _write_versions(versions_dir, shape, shares[0])
    if any([helper.read_all() != _WRITTEN for helper in helpers]):
        raise RuntimeError(f"the corpus in {versions_dir} could not be written")
    link = versions_dir / "current-version"
    link.unlink(missing_ok=True)
    link.symlink_to(shape.names[-1])
    return wanted


def _write_versions(versions_dir: Path, shape: Shape, names: list[str], answer: int = -1) -> None:
    for number, (name, files) in enumerate(zip(shape.names, _history(shape), strict=False)):
        if name in names:
            _write_version(versions_dir / name, files, 1_700_000_000 + number * 86_400)
    if answer >= 0:
        os.write(answer, _WRITTEN)


def _history(shape: Shape) -> Iterator[dict[str, bytes]]:
    """Yield the files of each version after the other: the same dict, changed on the way."""
    rng = random.Random(shape.seed)
    folders = {at: _folders(rng, at, round(shape.directories * share), depth) for at, _, share, depth, _ in _PLACES}
    mean = shape.size / shape.files
    files = {path: _content(rng, path, mean) for path in _ALWAYS}
    for place, share, *_ in _PLACES:
        for _ in range(round(shape.files * share)):
            path = _new_path(rng, place, folders[place], files)
            files[path] = _content(rng, path, mean)
    for path in rng.sample(sorted(files), shape.files // 100):
        files[path] = files[rng.choice(sorted(files))]
    while True:
        yield files
        for path in rng.sample(sorted(files), math.ceil(len(files) * shape.changed)):
            _change(rng, path, files, folders, mean)


def _change(rng: random.Random, path: str, files: dict[str, bytes], folders: dict[str, list[str]], mean: float) -> None:
    """Edit a file, mostly; some are removed, moved or joined by a new one."""
    place = next((place for place in folders if path.startswith(place)), None)
    fate = rng.random()
    if place is not None and fate < 0.14:
        content = _content(rng, path, mean) if fate > 0.08 else files.pop(path)
        if fate > 0.04:
            files[_new_path(rng, place, folders[place], files)] = content
    else:
        old = files[path]
        at = rng.randrange(len(old) + 1)
        # A number raised leaves the size as it was; an edited line does not.
        tail = old[at + 8 :] if fate < 0.4 else old[at + rng.randrange(200) :]
        files[path] = old[:at] + rng.randbytes(8 if fate < 0.4 else rng.randrange(200)) + tail


def _content(rng: random.Random, path: str, mean: float) -> bytes:
    """Return bytes; the median is less than a quarter of the mean, as of PHP, scripts and images; a few are empty."""
    mean *= 0.375 if "/templates/" in path else 1.15
    size = 0 if rng.random() < 0.01 else min(rng.lognormvariate(math.log(mean / 4.4), 1.68), mean * 70)
    return rng.randbytes(round(size))


def _folders(rng: random.Random, place: str, count: int, depth: int) -> list[str]:
    found = [place]
    while len(found) < max(2, count):
        above = rng.choice(found)
        if above.count("/") - place.count("/") < depth:
            new = f"{above}/{rng.choice(_WORDS)}_{rng.choice(_WORDS)}"
            if new not in found:
                found.append(new)
    return found


def _new_path(rng: random.Random, place: str, folders: list[str], files: dict[str, bytes]) -> str:
    kinds = next(kinds for known, *_, kinds in _PLACES if known == place)
    while True:
        path = f"{rng.choice(folders)}/{rng.choice(_WORDS)}-{rng.randrange(10_000)}.{rng.choice(kinds)}"
        if path not in files:
            return path


def _write_version(root: Path, files: dict[str, bytes], when: int) -> None:
    owner = (OWNER, OWNER) if os.geteuid() == 0 else (-1, -1)
    for folder in sorted({os.path.dirname(path) for path in files}):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for path, content in files.items():
        with open(os.path.join(root, path), "xb", buffering=0) as file:
            file.write(content)
            os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), _MODES.get(path, 0o644))
            os.utime(file.fileno(), (when, when))
    os.symlink("../../../uploads", os.path.join(root, "html/uploads"))
    for directory, _, _ in os.walk(root, topdown=False):
        os.chmod(directory, 0o755)
        os.chown(directory, *owner)
