"""The steps of a build as the settings tell them: what runs, after what, and what it reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from govma_core.settings.validate import did_you_mean
from govma_core.text.globs import globs
from govma_core.text.language import tr

INSTALL = "install"
"""The name of the step that `install_command` is."""

AUTO = ("auto",)
"""What asset_inputs is when the inputs are those that are seen."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}")
_OTHERS = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStep:
    """A command of the build. `inputs` are globs of what it reads; None: as asset_inputs says; False: it always runs.

    `after` names the steps that it comes after; None stands for all that are written before it.
    """

    name: str
    command: str
    inputs: tuple[str, ...] | bool | None = None
    after: tuple[str, ...] | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as TOML and JSON hold it: without what is None."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }


def read_build_step(raw: object) -> BuildStep:
    """Read one entry of `build.steps`; ValueError says what is wrong with it."""
    if not isinstance(raw, dict) or not all(isinstance(raw.get(name), str) for name in ("name", "command")):
        raise ValueError(tr('each step must be a table such as {name = "docs", command = "npm run build:docs"}'))
    names = [field.name for field in dataclasses.fields(BuildStep)]
    for name in raw:
        if name not in names:
            raise ValueError(tr("a step has no {name!r}", name=name) + did_you_mean(str(name), names))
    name, command, inputs, after = raw["name"], raw["command"], raw.get("inputs"), raw.get("after")
    if not _NAME.fullmatch(name) or name == INSTALL:
        raise ValueError(
            tr(
                "{name!r} is no name for a step: letters, digits, dots and dashes; `install` is install_command",
                name=name,
            )
        )
    if not command.strip():
        raise ValueError(tr("the step {name} has no command", name=name))
    if inputs is not None and inputs is not False:
        if not _is_list(inputs) or not inputs:
            raise ValueError(tr("inputs of the step {name} must be a list of globs, or false", name=name))
        globs(inputs)
    if after is not None and not _is_list(after):
        raise ValueError(tr("after of the step {name} must be a list of names of steps", name=name))
    return BuildStep(
        name=name,
        command=command,
        inputs=tuple(inputs) if isinstance(inputs, list) else inputs,
        after=None if after is None else tuple(after),
    )


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def steps_of(commands: Sequence[str]) -> tuple[BuildStep, ...]:
    """Return commands as steps, one after the other; each has the name of its last word, such as `build-docs`."""
    steps: list[BuildStep] = []
    for command in filter(str.strip, commands):
        word = _OTHERS.sub("-", command.split()[-1]).strip("-._")[:24] or "step"
        used = {step.name for step in steps} | {INSTALL}
        name = next(name for name in (word, *(f"{word}-{n}" for n in range(2, len(commands) + 3))) if name not in used)
        steps.append(BuildStep(name=name, command=command))
    return tuple(steps)


def order(steps: Sequence[BuildStep]) -> dict[str, frozenset[str]]:
    """Return for each step all those that it comes after, over others, too."""
    direct = {
        step.name: {other.name for other in steps[:number]} if step.after is None else set(step.after)
        for number, step in enumerate(steps)
    }
    after: dict[str, frozenset[str]] = {}
    for name in direct:
        reached, pending = set[str](), set(direct[name])
        while pending:
            reached |= pending
            pending = set().union(*(direct.get(other, set()) for other in pending)) - reached
        after[name] = frozenset(reached)
    return after


def problems(steps: Sequence[BuildStep]) -> Iterator[str]:
    """Yield a sentence for each step that cannot be run in any order, or is meant twice."""
    names = [step.name for step in steps]
    twice = sorted({name for name in names if names.count(name) > 1})
    for name in twice:
        yield tr("build.steps has more than one step {name}; give each a name of its own.", name=name)
    for step in steps:
        for other in step.after or ():
            if other not in names:
                yield tr(
                    "build.steps: {name} comes after {other}, and there is no such step.", name=step.name, other=other
                )
    circle = sorted(name for name, others in order(steps).items() if name in others)
    if circle and not twice:
        yield tr("build.steps: {names} would wait for ever; take a name out of `after`.", names=", ".join(circle))
