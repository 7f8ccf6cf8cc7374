"""Finds the mutants of a file with the operators of cosmic-ray, and two more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.boolean_replacer import AddNot
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword

from tests.mutants.targets import OPERATORS

Key: TypeAlias = tuple[str, str, str, str]
"""A mutant's file, function, and lines before and after: what stays the same when other lines change."""


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
        """Return none."""
        return ()


class Negate(AddNot):  # type: ignore[misc]
    """Negates a whole condition; the operator of cosmic-ray only what stands before `and`, `or` or `:=`."""

    def mutate(self, node: Any, index: int) -> Any:
        """Return the node with `not (…)`."""
        place = 2 if node.type == "test" else 1
        node.children[place] = get_ast(f" not ({node.children[place].get_code(include_prefix=False)})")
        return node


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file."""

    key: Key
    line: int
    code: str
    """The whole file with the change."""
    statement: range
    """The lines of the statement, or of the head of a compound one."""

    @property
    def file(self) -> str:
        """Return the file, relative to the tree."""
        return self.key[0]

    @property
    def name(self) -> str:
        """Return what no other mutant of the file is called."""
        return f"{self.line}: {self.key[-1]}"


def mutants_of(root: Path, file: str) -> list[Mutant]:
    """Return all mutants of a file, in the order of its lines."""
    text = (root / file).read_text()
    tree = get_ast(text)
    mutants = {}
    for operator in [LeaveOut, Negate, *(get_operator(f"core/{name}") for name in OPERATORS)]:
        places = [place for node in ast_nodes(tree) for place in operator().mutation_positions(node)]
        for occurrence, (place, (last, _)) in enumerate(places):
            leaf = tree.get_leaf_for_position(place)
            if _means_nothing(leaf):
                continue
            code = mutate_code(text, operator(), occurrence)
            old, new = text.splitlines(), code.splitlines()
            # cosmic-ray may pull a place up to the end of the line above it.
            start = next(number for number, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
            before, after = old[start:last], new[start : last + len(new) - len(old)]
            function = leaf.search_ancestor("funcdef")
            key = (file, function.name.value if function else "", _one_line(before), _one_line(after))
            mutants[code] = Mutant(key, start + 1, code, _statement(leaf))
    return sorted(mutants.values(), key=lambda mutant: (mutant.line, mutant.name))


def sample(mutants: list[Mutant], number: int) -> list[Mutant]:
    """Return so many of the mutants of a file, the same ones each time, also below other lines; all for 0."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(repr(mutant.key).encode()).digest())[: number or None]


def _one_line(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())


def _means_nothing(leaf: Any) -> bool:
    """Tell whether the place is in a decorator or an annotation."""
    function = leaf.search_ancestor("funcdef")
    returns = function.annotation if function else None
    in_returns = returns and returns.start_pos <= leaf.start_pos < returns.end_pos
    return bool(in_returns or leaf.search_ancestor("decorator", "tfpdef"))


def _statement(leaf: Any) -> range:
    node = leaf
    while node.parent.type not in ("suite", "file_input") and all(
        each.type != "suite" for each in node.parent.children
    ):
        node = node.parent
    return range(node.start_pos[0], node.get_last_leaf().start_pos[0] + 1)
