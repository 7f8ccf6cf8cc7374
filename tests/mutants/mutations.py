"""Finds the mutants of a file with the operators of cosmic-ray, and one more: a call or a `raise` that is left out."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.boolean_replacer import AddNot
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword

from tests.mutants.code import NOISE, OPERATORS


class LeaveOut(Operator):  # type: ignore[misc]
    """Leaves a statement out that is a call, or a `raise`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        """Yield the statement's place."""
        call = node.type == "atom_expr" and node.parent.type == "simple_stmt" and node.children[-1].type == "trailer"
        if call or node.type == "raise_stmt":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Keyword:
        """Return what stands there instead."""
        return Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return none: `test_mutants.py` has them."""
        return ()


class Negate(AddNot):  # type: ignore[misc]
    """Negates a whole condition; the operator of cosmic-ray only what stands before the first `and` or `or`."""

    def mutate(self, node: Any, index: int) -> Any:
        """Return the node with `not (…)`."""
        place = 2 if node.type == "test" else 1
        node.children[place] = get_ast(f" not ({node.children[place].get_code(include_prefix=False)})")
        return node


_OPERATORS = {name: get_operator(f"core/{name}") for name in OPERATORS} | {"LeaveOut": LeaveOut, "Negate": Negate}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    file: str
    function: str
    line: int
    text: str
    """The line, without its indentation."""
    operator: str
    occurrence: int
    """How often the operator finds something in the file before."""
    nth: int
    """How often it does so before on lines of this text in this function."""
    statement: range
    """The lines of the statement, or of the head of a compound one."""
    on_import: bool
    """Whether the place is in no function, and runs when the module is imported."""

    @property
    def name(self) -> str:
        """Return what stays the same when other lines change."""
        return f"{self.function} | {self.text} | {self.operator} {self.nth}"

    def change(self, root: Path) -> tuple[str, str]:
        """Return the file's text with the change, and the changed lines, in one."""
        text = (root / self.file).read_text()
        code = mutate_code(text, _OPERATORS[self.operator](), self.occurrence)
        old, new = text.splitlines(), code.splitlines()
        first = next(number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
        while len(new) > first + 1 and len(old) > first + 1 and old[-1] == new[-1]:
            del old[-1], new[-1]
        return code, " ".join(" ".join(new[first:]).split())


def mutants_of(file: str, root: Path) -> list[Mutant]:
    """Return all mutants of a file, in the order of its lines."""
    text = (root / file).read_text()
    lines = text.splitlines()
    tree = get_ast(text)
    nodes = list(ast_nodes(tree))
    alike: Counter[tuple[str, ...]] = Counter()
    mutants = []
    for name, operator in _OPERATORS.items():
        places = [place for node in nodes for place in operator().mutation_positions(node)]
        for occurrence, (start, _) in enumerate(places):
            leaf = tree.get_leaf_for_position(start)
            if _noise(leaf):
                continue
            function, on_import = _function(leaf)
            line = lines[start[0] - 1].strip()
            nth = alike[function, line, name]
            alike[function, line, name] += 1
            mutants.append(Mutant(file, function, start[0], line, name, occurrence, nth, _statement(leaf), on_import))
    return sorted(mutants, key=lambda mutant: (mutant.line, mutant.name))


def sample(mutants: list[Mutant], number: int) -> list[Mutant]:
    """Return so many of the mutants of a file, the same ones each time; all when `number` is 0."""
    by_hash = sorted(mutants, key=lambda mutant: hashlib.sha256(f"{mutant.file} {mutant.name}".encode()).digest())
    return sorted(by_hash[: number or None], key=lambda mutant: mutant.line)


def _noise(leaf: Any) -> bool:
    """Tell whether the place is an annotation, a decorator, a mark among parameters, or in a call of NOISE."""
    child, node = leaf, leaf.parent
    if leaf.value in ("*", "/") and node.type in ("parameters", "operator"):
        return True
    while node:
        if node.type in ("decorator", "tfpdef") or (node.type == "annassign" and child is node.children[1]):
            return True
        if node.type in ("param", "funcdef") and child is node.annotation:
            return True
        if node.type == "atom_expr" and re.match(NOISE, node.get_code(include_prefix=False)):
            return True
        child, node = node, node.parent
    return False


def _function(leaf: Any) -> tuple[str, bool]:
    """Return the dotted name of the function or class around a place, and whether the place runs on import."""
    names, on_import = [], True
    child, node = leaf, leaf.parent
    while node:
        if node.type in ("funcdef", "classdef"):
            names.append(node.name.value)
        if node.type in ("funcdef", "lambdef") and child is node.children[-1]:
            on_import = False
        child, node = node, node.parent
    return ".".join(reversed(names)), on_import


def _statement(leaf: Any) -> range:
    node = leaf
    while node.parent.type not in ("suite", "file_input"):
        if any(child.type == "suite" for child in node.parent.children):
            break
        node = node.parent
    return range(node.start_pos[0], node.get_last_leaf().start_pos[0] + 1)
