"""The settings of an existing run-deploy.sh, read without running it.

What is understood: variables that are set, exported or unset once and for certain, and the call of deploy.sh. Each
other line that names a variable of ours is told with its number, and what it would come to is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from govma_core.settings.parse import KEYS, read_value
from govma_core.settings.shell_script import Command, Word, commands
from govma_core.text.language import tr

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL | re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NAMED_FIRST = re.compile(r"([A-Za-z_]\w*)(?:\[.*|\+?=.*)?", re.DOTALL | re.ASCII)
_PIECE = re.compile(r"""'(?P<literal>[^']*)'|"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<bare>(?:\\.|[^'"\\])+)""", re.DOTALL)
_EXPANSION = re.compile(r"\\(.)|\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))|\$\(|[$`]", re.DOTALL | re.ASCII)

_DECLARING = ("export", "declare", "typeset", "readonly")
_CALLING = (".", "source", "exec", "bash", "sh", "sudo", "nohup", "nice")
_HARMLESS = ("echo", "test", "[", "[[")
"""Commands that set nothing, whatever their words are."""


@dataclass(slots=True)
class Exports:
    """Settings found (plain values by key), variables that are none of ours, sentences about lines not understood."""

    settings: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_exports(script: str) -> Exports:
    """Read the variables that a script sets; a value may refer to one that was set above it, nothing is executed."""
    reader = _Reader()
    for command in commands(script.replace("\r\n", "\n")):
        reader.read(command)
    return reader.exports


class _NotUnderstoodError(Exception):
    """A command that may set variables, in a way that is not known here."""


class _Reader:
    def __init__(self) -> None:
        self.exports = Exports()
        self._keys = {key.env: key for key in KEYS.values() if key.env}
        self._ours = re.compile(rf"(\$\{{?[#!]?)?(?<!\w)({'|'.join(self._keys)})(?!\w)(:?=)?", re.ASCII)
        self._variables: dict[str, str] = {}
        self._has_ended = False

    def read(self, command: Command) -> None:
        """Take in one command, or name the variables of ours in it."""
        try:
            self._execute(command)
        except _NotUnderstoodError as error:
            for word in command.words:
                self._tell_of(word, str(error))

    def _execute(self, command: Command) -> None:
        words = [word.text for word in command.words]
        is_reached = not command.nested and command.before in ("\n", ";")
        if not words or (
            words[0] in _HARMLESS and not any(match[3] for text in words for match in self._ours.finditer(text))
        ):
            return
        if self._has_ended:
            raise _NotUnderstoodError(tr("it comes after deploy.sh was called, or the script was left"))
        if command.is_text:
            raise _NotUnderstoodError(tr("it stands in a text, or in what cannot be read; set it by hand"))
        if self._calls_deploy_sh(command.words):
            self._has_ended = is_reached
        elif not is_reached or command.after in ("|", "|&", "&"):
            raise _NotUnderstoodError(tr("whether it is executed depends on something; set it by hand"))
        elif words[0] in ("exit", "return", "exec"):
            # Without a program exec changes where the output goes, and no more.
            self._has_ended = words != ["exec"]
        elif words[0] in _DECLARING:
            self._declare(command.words[1:])
        elif words[0] == "unset" and all(_NAME.fullmatch(text) for text in words):
            for name in words[1:]:
                self._forget(name)
        else:
            self._set_all(command.words, self._variables)

    def _calls_deploy_sh(self, words: list[Word]) -> bool:
        """Tell whether a command calls deploy.sh, beside which the original looks for its tarballs."""
        texts = [word.text for word in words]
        while texts and (texts[0] in _CALLING or texts[0].startswith("-")):
            texts.pop(0)
        file = texts[0] if texts else ""
        if re.fullmatch(r"""(.*/)?deploy\.sh["']?""", file, re.DOTALL):
            with suppress(ValueError):
                path = Path(_value(file, self._variables))
                if path.is_absolute():
                    self.exports.settings.setdefault("vendor_dir", str(path.parent / "vendor"))
            return True
        if words[0].text in (".", "source"):
            sentence = tr("line {number}: what {file} sets is not seen here.", number=words[0].line, file=file)
            self.exports.problems.append(sentence)
        return False

    def _declare(self, words: list[Word]) -> None:
        options = [word.text for word in words if word.text.startswith("-")]
        if any(set(option) - set("-xrg") for option in options):
            raise _NotUnderstoodError(tr("it is not understood; set it by hand"))
        # A name alone changes nothing: each variable that is set counts as exported.
        assignments = [word for word in words if word.text not in options and not _NAME.fullmatch(word.text)]
        # The words of a command are expanded before it is executed.
        self._set_all(assignments, dict(self._variables))

    def _set_all(self, words: list[Word], known: Mapping[str, str]) -> None:
        for word in words:
            match = _ASSIGNMENT.fullmatch(word.text)
            if match is None:
                raise _NotUnderstoodError(tr("it is not understood; set it by hand"))
            self._set(word.line, match[1], match[2], known)

    def _set(self, line: int, name: str, raw: str, known: Mapping[str, str]) -> None:
        key = self._keys.get(name)
        if key is None and name not in self.exports.others:
            self.exports.others.append(name)
        # What was set above it is not what the script would have used.
        self._forget(name)
        try:
            value = _value(raw, known)
            if key is not None:
                read_value(key, value)
                self.exports.settings[key.name] = value
            self._variables[name] = value
        except ValueError as error:
            if key is not None:
                self._add_problem(line, name, str(error))

    def _forget(self, name: str) -> None:
        self._variables.pop(name, None)
        if name in self._keys:
            self.exports.settings.pop(self._keys[name].name, None)

    def _tell_of(self, word: Word, why: str) -> None:
        """Name the variables of ours in a word, unless they are only read; what it may have set is forgotten."""
        for match in self._ours.finditer(word.text):
            if match[3] or not match[1]:
                self._add_problem(word.line + word.text.count("\n", 0, match.start()), match[2], why)
        first = _NAMED_FIRST.fullmatch(word.text)
        if first and not self._has_ended:
            self._forget(first[1])

    def _add_problem(self, line: int, name: str, why: str) -> None:
        if not self._has_ended:
            self._forget(name)
        sentence = tr("line {number}, {name}: {error}.", number=line, name=name, error=why)
        if sentence not in self.exports.problems:
            self.exports.problems.append(sentence)


def _value(raw: str, known: Mapping[str, str]) -> str:
    """Return what a word comes to; ValueError when that takes more than what is written in the script."""
    if raw.startswith("~"):
        raise ValueError(tr("what ~ stands for is not known here; set it by hand"))

    def expand(match: re.Match[str]) -> str:
        escaped, name = match[1], match[2] or match[3]
        if escaped is not None:
            if escaped == "\n":
                return ""
            return escaped if not is_quoted or escaped in '$`"\\' else f"\\{escaped}"
        if match[0] in ("$(", "`"):
            raise ValueError(tr("it runs a command, which is not done here; set it by hand"))
        if not name:
            raise ValueError(tr("{raw!r} is not understood; set it by hand", raw=raw))
        if name not in known:
            raise ValueError(tr("it refers to ${name}, whose value is not known here; set it by hand", name=name))
        return known[name]

    value = ""
    for piece in _PIECE.finditer(raw):
        is_quoted = piece["quoted"] is not None
        if piece["literal"] is not None:
            value += piece["literal"]
        else:
            value += _EXPANSION.sub(expand, piece["quoted"] if is_quoted else piece["bare"])
    if not value.isprintable():
        raise ValueError(tr("it is no text in UTF-8, or holds control characters; set it by hand"))
    return value
