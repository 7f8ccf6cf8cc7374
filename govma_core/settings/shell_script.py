"""The commands of a shell script, taken apart without running any of it.

Enough of the shell's grammar to tell what is executed once and for certain from what depends on something: quoting,
comments, lines that go on, here-documents, lists, and the nesting of branches, loops, functions and subshells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<blank>[ \t]+|\\\n)
    |(?P<comment>\#[^\n]*)
    |(?P<redirection>&>>?|[0-9]*(?:<<<|<<-?|<>|<&|>>|>\||>&|<|>))
    |(?P<operator>\n|;;&?|;&|&&|\|\||\|&|[;&|()])
    |(?P<word>(?:'[^']*'|"(?:\\.|[^"\\])*"|`[^`]*`|\\.|\$\((?:[^()]|\([^()]*\))*\)|\$\{[^}]*\}|[^\s;&|()<>'"`\\])+)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSERS = {
    "if": "fi", "case": "esac", "for": "done", "select": "done", "while": "done", "until": "done", "{": "}", "(": ")",
}  # fmt: skip
_BETWEEN = ("then", "else", "elif", "do", "!", "time")
_ENDS = ("\n", ";")


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands in the script, quotes and all, and the number of its line."""

    text: str
    line: int


@dataclass(slots=True)
class Command:
    """A simple command: its words without redirections, and how it comes to be executed.

    `before` and `after` are the operators around it; `nested` tells whether it stands in a branch, a loop, a function
    or a subshell. Of a here-document, or of what cannot be read, there is one with all of it as a word (`is_text`).
    """

    before: str = "\n"
    nested: bool = False
    words: list[Word] = field(default_factory=list)
    after: str = "\n"
    is_text: bool = False


def commands(script: str) -> Iterator[Command]:
    """Yield the commands of a script in their order; from what cannot be read on, all the rest is one text."""
    return _Parser(script).commands()


class _Parser:
    def __init__(self, script: str) -> None:
        self._script = script
        self._position = 0
        self._closers: list[str] = []
        self._documents: list[tuple[str, bool]] = []
        """Here-documents that begin with the next line: the word that ends each, and whether tabs before it count."""

    def commands(self) -> Iterator[Command]:
        command = Command()
        redirection = ""
        while self._position < len(self._script):
            match = _TOKEN.match(self._script, self._position)
            if match is None:
                # Such as a quote without its end: the words before it are not whole.
                command.is_text = True
                yield command
                yield self._text(len(self._script))
                return
            word = Word(match[0], self._line())
            self._position = match.end()
            if match.lastgroup == "redirection":
                redirection = word.text.lstrip("0123456789")
            elif match.lastgroup == "word" and redirection:
                if redirection in ("<<", "<<-"):
                    self._documents.append((re.sub(r"""['"\\]""", "", word.text), redirection == "<<-"))
                redirection = ""
            elif match.lastgroup == "word":
                self._add(command, word)
            elif match.lastgroup == "operator":
                command.after, redirection = word.text, ""
                yield command
                if word.text == "\n":
                    yield from self._read_documents()
                self._nest(word.text)
                command = Command(word.text, bool(self._closers))
        yield command

    def _add(self, command: Command, word: Word) -> None:
        """Add a word to a command; one that the shell reserves opens, parts or closes a compound command."""
        if command.words and command.words[0].text == "function":
            command.words.clear()
        elif not command.words and word.text in _BETWEEN:
            # What follows depends on what was before.
            command.before = word.text
        elif not command.words and self._closers and word.text == self._closers[-1]:
            self._closers.pop()
        elif not command.words and word.text in _CLOSERS:
            self._closers.append(_CLOSERS[word.text])
            command.nested = True
        else:
            command.words.append(word)

    def _nest(self, operator: str) -> None:
        if self._closers[-1:] == ["esac"]:
            # Each pattern of a case ends with a parenthesis.
            return
        if operator == "(":
            self._closers.append(")")
        elif operator == ")" and self._closers[-1:] == [")"]:
            self._closers.pop()

    def _read_documents(self) -> Iterator[Command]:
        for end, strips_tabs in self._documents:
            tabs = "\t*" if strips_tabs else ""
            match = re.compile(rf"^{tabs}{re.escape(end)}$", re.MULTILINE).search(self._script, self._position)
            yield self._text(match.start() if match else len(self._script))
            self._position = match.end() if match else self._position
        self._documents.clear()

    def _text(self, end: int) -> Command:
        """Take the script up to here as it is."""
        word = Word(self._script[self._position : end], self._line())
        self._position = end
        return Command(words=[word], is_text=True)

    def _line(self) -> int:
        return self._script.count("\n", 0, self._position) + 1
