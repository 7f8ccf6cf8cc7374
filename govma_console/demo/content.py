"""What the sample's repository holds, commit by commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable

from govma_console.demo.manifests import manifests
from govma_console.demo.prose import SUBSITES, Prose

_GROUPS = ("noticias", "servicos", "institucional", "contato", "agenda", "documentos")
_PAGES = ("index", "lista", "detalhe", "busca", "rodape", "topo")
_UTC_OFFSET = "-0300"


@dataclass(frozen=True, slots=True)
class Author:
    """A person who commits; fictitious."""

    name: str
    email: str


AUTHORS = (
    Author("Ana Beatriz Moura", "ana.moura@example.org"),
    Author("João Carlos Sá", "joao.sa@example.org"),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit to make: paths to new content, or to None where the file goes."""

    subject: str
    author: Author
    seconds: int
    changes: Mapping[str, bytes | None]

    @property
    def date(self) -> str:
        """Return the date in git's raw format."""
        return f"{self.seconds} {_UTC_OFFSET}"


def history(*, files: int, base_image: str, npm: bool) -> list[Commit]:
    """Return the commits of the sample, oldest first; the same arguments give the same bytes.

    After the last one there are exactly `files` generated templates and assets beside the fixed files.
    """
    sites = SUBSITES[: max(3, min(len(SUBSITES), files // 10))]
    pages = _generated(sites, files)
    fixed = _skeleton() | manifests("1.4.1", npm) | {"docker/builder/Dockerfile": f"FROM {base_image}\n".encode()}
    prose = Prose("subsites")
    for site in sites:
        fixed |= _belongings(site, prose)
    everything = fixed | pages

    newest = sites[-1]
    addition = {path: content for path, content in everything.items() if f"/{newest}/" in path}
    unused = "data/system/user/templates/portal/site.group/antigo.html"
    first: dict[str, bytes | None] = {path: data for path, data in everything.items() if path not in addition}
    first[unused] = Prose("antigo").template("Modelo antigo")
    colors, home = "resources/sass/_variaveis.scss", "data/system/user/templates/portal/site.group/index.html"
    ana, joao = AUTHORS
    return [
        Commit("Importa o site para o novo repositório", ana, 1_630_343_520, first),
        Commit(f"Inclui o subsite {newest}", joao, 1_630_935_060, addition),
        Commit(
            "Ajusta a cor principal para atingir o contraste AA",
            ana,
            1_631_197_980,
            {colors: everything[colors].replace(b"#7a1f1f", b"#5c1010")},
        ),
        Commit(
            "Corrige o título da página inicial",
            joao,
            1_631_627_340,
            {home: everything[home].replace("Notícias do Governo".encode(), "Notícias do Estado".encode())},
        ),
        Commit("Remove modelo de página fora de uso", ana, 1_631_884_500, {unused: None}),
        Commit("Prepara a versão 1.4.2", joao, 1_632_139_200, dict(manifests("1.4.2", npm))),
    ]


def tree_after(commits: list[Commit]) -> dict[str, bytes]:
    """Return the files that a checkout of the last of these commits holds."""
    tree: dict[str, bytes] = {}
    for commit in commits:
        for path, data in commit.changes.items():
            if data is None:
                del tree[path]
            else:
                tree[path] = data
    return tree


def _skeleton() -> dict[str, bytes]:
    # Names that start with a dot are stored as dot_…: a real .gitignore would act on this project's own repository.
    found: dict[str, bytes] = {}

    def collect(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            path = prefix + (entry.name.replace("dot_", ".", 1) if entry.name.startswith("dot_") else entry.name)
            if entry.is_dir():
                collect(entry, path + "/")
            else:
                found[path] = entry.read_bytes()

    collect(package_files("govma_console.demo") / "site", "")
    return found


def _belongings(site: str, prose: Prose) -> dict[str, bytes]:
    title = site.replace("-", " ").title()
    found = {
        f"resources/sass/{site}/app.scss": f"// {title}\n$cor-subsite: #{len(site) * 123_457 % (1 << 24):06x};\n"
        f".{site} {{\n    font-family: $fonte;\n    background: $cor-fundo;\n    color: $cor-subsite;\n}}\n".encode(),
        f"resources/js/{site}/app.js": f"// {title}\ndocument.body.dataset.subsite = '{site}'\n".encode(),
        f"data/html/uploads/{site}/logo.svg": prose.svg(title),
        f"data/html/uploads/{site}/relatório anual 2020.txt": prose.text(f"{title}: relatório anual de 2020"),
    }
    if len(site) % 2 == 0:
        found[f"data/html/images/{site}/avatar.png"] = prose.png()
    return found


def _generated(sites: tuple[str, ...], files: int) -> dict[str, bytes]:
    prose = Prose("modelos")
    found: dict[str, bytes] = {}
    for number in range(files):
        site, turn = sites[number % len(sites)], number // len(sites)
        if turn % 4 != 3:
            group, page = _GROUPS[turn // len(_PAGES) % len(_GROUPS)], _PAGES[turn % len(_PAGES)]
            path = f"data/system/user/templates/{site}/{group}.group/{page}-{turn}.html"
            found[path] = prose.template(f"{page} - {group}")
        elif turn % 8 == 3:
            found[f"data/html/assets/{site}/img/foto-{turn}.png"] = prose.png()
        else:
            found[f"data/html/assets/{site}/css/bloco-{turn}.css"] = prose.css(f"bloco {turn}")
    return found
