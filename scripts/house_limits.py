"""Checks what neither ruff nor the import contracts look at: circles of imports, sizes, and words (`make check`).

A name says what it holds. `found`, `given` or `told` say only that something happened to it, so they are counted
among the names of locals and parameters. Exit code 1, with a line for each limit that is passed.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

PACKAGES = ("govma_core", "govma_console")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_NAMESAKES = 3
"""Names that files of the core may have in more than one folder."""
MOST_PARTICIPLES = 0.01
"""Share of the names of locals and parameters."""
_PARTICIPLES = """
answered asked born closed copied done due found given gone held kept known left looked lying made meant moved named
opened read said seen shown standing taken told wanted written
"""
PARTICIPLES = frozenset(_PARTICIPLES.split())


def circle() -> list[str]:
    """Return modules that import one another in a circle, also inside functions and for types alone; [] for none."""
    graph = grimp.build_graph(*PACKAGES)
    modules = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    packages = {module for module in modules if graph.find_children(module)}
    # What a package itself imports is for its users; that its files know one another is what counts.
    edges = {module: others - packages for module, others in modules.items() if module not in packages}
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def names_in(tree: ast.AST) -> list[str]:
    """Return the names of locals and parameters, once for each time that one is bound."""
    stored = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return stored + [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]


def long_functions(tree: ast.AST) -> list[str]:
    """Return the functions that are longer than the limit, each with its lines."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return [f"{node.name} has {lines} lines" for node, lines in lengths.items() if lines > LONGEST_FUNCTION]


def problems() -> list[str]:
    """Return a line for each limit that is passed."""
    lines = [f"a circle of imports: {' -> '.join(modules)}" for modules in [circle()] if modules]
    names: list[str] = []
    namesakes = defaultdict(list)
    for path in sorted(path for package in PACKAGES for path in Path(package).rglob("*.py")):
        text = path.read_text()
        tree = ast.parse(text)
        names += names_in(tree)
        lines += [f"{path}: {function}, {LONGEST_FUNCTION} at most" for function in long_functions(tree)]
        if (count := len(text.splitlines())) > LONGEST_FILE:
            lines.append(f"{path} has {count} lines, {LONGEST_FILE} at most")
        if path.parts[0] == PACKAGES[0] and path.stem != "__init__":
            namesakes[path.stem].append(str(path))
    shared = [paths for paths in namesakes.values() if len(paths) > 1]
    if len(shared) > MOST_NAMESAKES:
        lines.append(f"{len(shared)} file names stand more than once in the core: {shared}")
    participles = [name for name in names if name in PARTICIPLES]
    if len(participles) > MOST_PARTICIPLES * len(names):
        lines.append(f"{len(participles)} of {len(names)} names are bare participles: {sorted(set(participles))}")
    return lines


def main() -> int:
    """Print what passes a limit; give the exit code."""
    lines = problems()
    print("\n".join(lines) or "House limits kept.")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
