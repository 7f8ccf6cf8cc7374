"""The last answer of compose, kept in state_dir until its files change: compose takes longer than all the rest.

No value of `.env` or of an env file is in it. A number stands for each, and is filled in from these files when the
answer is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from govma_core.fs import jsonfile
from govma_core.services.compose import Project
from govma_core.services.compose_config import variables_of
from govma_core.services.config_hash import Hashes
from govma_core.services.programs import environment, installed, maker

_OTHER_FILES = re.compile(r"^\s*-?\s*(extends|include)\s*:", re.MULTILINE)
"""What has compose read files that we do not know of."""

_NUMBER = re.compile(r"\0(\d+)\0")

_EXPANDED = re.compile(r"\\|\$\{|(?<!\$)(?:\$\$)*\$[A-Za-z_]")
"""What compose may put something else in for when it reads `.env`: an escape, another variable."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the files mean, as `compose config` printed it, and its hashes of each service's settings.

    Those of version 1 depend on the images, too: `images` are the ids that their names stood for.
    """

    data: Mapping[str, Any]
    hashes: Hashes
    images: dict[str, str]


def key_of(project: Project) -> str:
    """Return what changes with anything that an answer depends on; '' where that, or what is a value, is not known."""
    is_expanded = any(readings and all(map(_EXPANDED.search, readings)) for readings in project.secrets.values())
    if is_expanded or _OTHER_FILES.search(project.texts()):
        return ""
    programs = installed()
    # Which one answers.
    parts: list[object] = [maker(project.name) if len(programs) > 1 else ""]
    parts += [project.name, project.directory, sorted(environment().items())]
    for path in (*project.files, *project.env_files, *map(Path, programs)):
        try:
            info = path.stat()
        except OSError:
            parts.append(path)
        else:
            parts.append((path, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    return hashlib.blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def read_answer(state_dir: Path, project: Project, key: str) -> Answer | None:
    """Return the answer that was kept under this key; None without one, or where this user may not read it."""
    with suppress(OSError, KeyError, TypeError, IndexError, ValueError):
        kept_answer = jsonfile.read(_path(state_dir))
        if key and kept_answer and kept_answer["key"] == key:
            values = _values(project)
            data = _replaced(kept_answer["data"], lambda text: _NUMBER.sub(lambda match: values[int(match[1])], text))
            return Answer(data, dict(kept_answer["hashes"]), dict(kept_answer["images"]))
    return None


def was_second(state_dir: Path) -> bool:
    """Tell whether the last answer that was kept is of version 2."""
    with suppress(OSError, KeyError, TypeError, ValueError):
        kept_answer = jsonfile.read(_path(state_dir))
        return kept_answer is not None and "name" in kept_answer["data"]
    return False


def keep_answer(state_dir: Path, project: Project, key: str, answer: Answer) -> None:
    """Keep an answer for those who may read what is root's; a user who may not write there keeps none.

    Nor is one kept with a value that is in none of the files: compose reads `.env` by other rules than we know.
    """
    values = _values(project)
    numbers = {value: f"\0{number}\0" for number, value in enumerate(values)}
    pattern = re.compile("|".join(map(re.escape, values)) or r"(?!)")
    data = _replaced(answer.data, lambda text: pattern.sub(lambda match: numbers[match.group()], text))
    with suppress(OSError, AttributeError, TypeError, ValueError):
        if key and _are_known(pattern, answer.data, project.texts()):
            content = {"key": key, "data": data, "hashes": answer.hashes, "images": answer.images}
            jsonfile.replace(_path(state_dir), content, mode=0o600, durable=False)


def _are_known(values: re.Pattern[str], data: Mapping[str, Any], texts: str) -> bool:
    """Tell whether all that variables of the services hold beside these values is written in the compose files."""
    variables = (value for raw in data["services"].values() for value in variables_of(raw or {}).values() if value)
    pieces = (piece for value in variables for piece in values.split(value))
    return all(piece in texts or piece.replace("$", "$$") in texts for piece in pieces)


def _path(state_dir: Path) -> Path:
    return state_dir / "services-compose.json"


def _values(project: Project) -> list[str]:
    """Return all values of the project's `.env` and env files, also with the dollars doubled; the longest first."""
    values = {value for readings in project.secrets.values() for value in readings if value}
    return sorted(values | {value.replace("$", "$$") for value in values}, key=lambda value: (-len(value), value))


def _replaced(node: Any, replace: Callable[[str], str]) -> Any:  # noqa: ANN401
    """Return a tree with each of its texts replaced; a number only where that changes it, which makes it a text."""
    if isinstance(node, dict):
        return {replace(str(name)): _replaced(value, replace) for name, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, replace) for value in node]
    if isinstance(node, str):
        return replace(node)
    if isinstance(node, int | float) and not isinstance(node, bool):
        text = replace(str(node))
        return node if text == str(node) else text
    return node
