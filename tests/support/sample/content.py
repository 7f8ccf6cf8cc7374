"""The commits of a sample site's repository, with any number of templates and assets."""

from __future__ import annotations

from pathlib import Path

from govma_console.demo.create import DATA
from govma_console.demo.history import AUTHORS, Commit, read_tree
from tests.support.sample.manifests import manifests
from tests.support.sample.prose import SUBSITES, Prose

_GROUPS = ("noticias", "servicos", "institucional", "contato", "agenda", "documentos")
_PAGES = ("index", "lista", "detalhe", "busca", "rodape", "topo")


def history(*, files: int, base_image: str, npm: bool) -> list[Commit]:
    """Return the commits of the sample, oldest first; the same arguments give the same bytes.

    After the last one there are exactly `files` generated templates and assets beside the fixed files.
    """
    sites = SUBSITES[: max(3, min(len(SUBSITES), files // 10))]
    pages = _generated(sites, files)
    fixed = read_tree(DATA / "site") | read_tree(Path(__file__).parent / "site") | manifests("1.4.1", npm)
    fixed["docker/builder/Dockerfile"] = f"FROM {base_image}\n".encode()
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


def _belongings(site: str, prose: Prose) -> dict[str, bytes]:
    title = site.replace("-", " ").title()
    files = {
        f"resources/sass/{site}/app.scss": f"// {title}\n$cor-subsite: #{len(site) * 123_457 % (1 << 24):06x};\n"
        f".{site} {{\n    font-family: $fonte;\n    background: $cor-fundo;\n    color: $cor-subsite;\n}}\n".encode(),
        f"resources/js/{site}/app.js": f"// {title}\ndocument.body.dataset.subsite = '{site}'\n".encode(),
        f"data/html/uploads/{site}/logo.svg": prose.svg(title),
        f"data/html/uploads/{site}/relatório anual 2020.txt": prose.text(f"{title}: relatório anual de 2020"),
    }
    if len(site) % 2 == 0:
        files[f"data/html/images/{site}/avatar.png"] = prose.png()
    return files


def _generated(sites: tuple[str, ...], files: int) -> dict[str, bytes]:
    prose = Prose("modelos")
    pages: dict[str, bytes] = {}
    for number in range(files):
        site, turn = sites[number % len(sites)], number // len(sites)
        if turn % 4 != 3:
            group, page = _GROUPS[turn // len(_PAGES) % len(_GROUPS)], _PAGES[turn % len(_PAGES)]
            path = f"data/system/user/templates/{site}/{group}.group/{page}-{turn}.html"
            pages[path] = prose.template(f"{page} - {group}")
        elif turn % 8 == 3:
            pages[f"data/html/assets/{site}/img/foto-{turn}.png"] = prose.png()
        else:
            pages[f"data/html/assets/{site}/css/bloco-{turn}.css"] = prose.css(f"bloco {turn}")
    return pages
