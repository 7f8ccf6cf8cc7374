"""The history of a sample site's repository: commits as data, and how git takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

BRANCH = "main"
AUTHORS = ("Ana Beatriz Moura <ana.moura@example.org>", "João Carlos Sá <joao.sa@example.org>")
"""The fictitious people who commit."""

_UTC_OFFSET = "-0300"
_HOME = "data/system/user/templates/portal/site.group/index.html"
_UNUSED = "data/system/user/templates/portal/site.group/antigo.html"
_COLORS = "resources/sass/_variaveis.scss"


class Commit(NamedTuple):
    """One commit: who made it, when (seconds since the epoch), and the new content of files, None where one goes."""

    subject: str
    author: str
    seconds: int
    changes: Mapping[str, bytes | None]


def demo_history() -> list[Commit]:
    """Return the commits of the site that `govma-console demo` makes, the oldest first."""
    site = read_tree(Path(__file__).parent / "site")
    newest = {path: data for path, data in site.items() if "/educacao/" in path}
    first = {path: data for path, data in site.items() if path not in newest}
    colors = site[_COLORS].replace(b"#7a1f1f", b"#5c1010")
    home = site[_HOME].replace("Notícias do Governo".encode(), "Notícias do Estado".encode())
    packages = {name: site[name].replace(b'"1.4.1"', b'"1.4.2"') for name in ("package.json", "package-lock.json")}
    ana, joao = AUTHORS
    return [
        Commit("Importa o site para o novo repositório", ana, 1_630_343_520, first),
        Commit("Inclui o subsite educacao", joao, 1_630_935_060, newest),
        Commit("Ajusta a cor principal para atingir o contraste AA", ana, 1_631_197_980, {_COLORS: colors}),
        Commit("Corrige o título da página inicial", joao, 1_631_627_340, {_HOME: home}),
        Commit("Remove modelo de página fora de uso", ana, 1_631_884_500, {_UNUSED: None}),
        Commit("Prepara a versão 1.4.2", joao, 1_632_139_200, packages),
    ]


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their paths in it.

    Names that begin with a dot are stored as dot_…: a real .gitignore would act on this project's own repository.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {f"/{name}".replace("/dot_", "/.")[1:]: path.read_bytes() for name, path in files.items()}


def fast_import_stream(commits: Iterable[Commit]) -> Iterator[bytes]:
    """Yield the commits in the format of git-fast-import."""
    for commit in commits:
        person = f"{commit.author} {commit.seconds} {_UTC_OFFSET}\n"
        message = f"{commit.subject}\n".encode()
        yield f"commit refs/heads/{BRANCH}\nauthor {person}committer {person}data {len(message)}\n".encode() + message
        for path, data in sorted(commit.changes.items()):
            if data is None:
                yield f"D {path}\n".encode()
            else:
                mode = "100755" if path.endswith(".sh") else "100644"
                yield f"M {mode} inline {path}\ndata {len(data)}\n".encode() + data + b"\n"
