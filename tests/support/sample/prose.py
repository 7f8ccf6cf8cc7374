"""Seeded text and pictures: distinct from file to file, the same on every machine, and they compress like real ones."""

from __future__ import annotations

import random
import struct
import zlib

_SUBSITE_NAMES = """
portal saude educacao seguranca fazenda planejamento cultura turismo esporte juventude mulher igualdade-racial
direitos-humanos desenvolvimento-social trabalho agricultura agricultura-familiar pesca meio-ambiente cidades
infraestrutura transportes portos energia industria ciencia-tecnologia comunicacao casa-civil casa-militar
governo articulacao-politica transparencia controladoria procuradoria defensoria ouvidoria junta-comercial
detran procon ipem policia-militar policia-civil bombeiros administracao-penitenciaria socioeducativo
previdencia gestao compras patrimonio escola-de-governo arquivo-publico biblioteca museus teatro radio-publica
imprensa-oficial universidade-estadual universidade-regional instituto-de-pesquisa fundo-de-pesquisa
saneamento habitacao terras defesa-agropecuaria hemocentro metrologia receita
"""

SUBSITES = tuple(_SUBSITE_NAMES.split())
"""Folder names of the 67 subsites; the first one is the front page."""

_WORD_LIST = (
    "governo estado secretaria programa edital obra escola hospital município servidor cidadão serviço atendimento "
    "inscrição resultado reunião investimento entrega abertura região capital interior campanha vacinação matrícula "
    "licitação concurso audiência pública nova ampliada gratuita digital anual mensal regional lança amplia entrega "
    "anuncia realiza prorroga publica convoca orienta recebe"
)
_WORDS = _WORD_LIST.split()


class Prose:
    """A stream of text; the same seed gives the same files in the same order."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)
        self._sentences = [self._sentence() for _ in range(400)]
        self._markup = [self._markup_line(text) for text in self._sentences]
        self._code = [self._code_line(number) for number in range(400)]
        self._rules = [self._rule(number) for number in range(200)]

    def template(self, title: str, mean_lines: int = 60) -> bytes:
        """Return a page template of the CMS with the title, about mean_lines long (a few lines to six times that)."""
        head = f'<!doctype html>\n<title>{title}</title>\n{{exp:channel:entries channel="noticias"}}\n'
        return self._text(head, self._markup, mean_lines, "{/exp:channel:entries}\n")

    def php(self, name: str, mean_lines: int = 80) -> bytes:
        """Return a PHP class of that name, which parses and does nothing when it is included."""
        head = f"<?php\n\nclass {name}\n{{\n    public function run(array $data)\n    {{\n"
        return self._text(head, self._code, mean_lines, "        return $data;\n    }\n}\n")

    def css(self, name: str, mean_lines: int = 60) -> bytes:
        """Return a style sheet."""
        return self._text(f"/* {name} */\n", self._rules, mean_lines, "")

    def javascript(self, name: str, mean_lines: int = 40) -> bytes:
        """Return a script that only assigns to an object of its own."""
        lines = [f"dados[{number}] = {text!r};\n" for number, text in enumerate(self._sentences[:200])]
        return self._text(f"// {name}\nvar dados = {{}};\n", lines, mean_lines, "")

    def text(self, title: str, mean_lines: int = 30) -> bytes:
        """Return a plain text document."""
        return self._text(f"{title}\n\n", [f"{text}\n" for text in self._sentences], mean_lines, "")

    def svg(self, label: str) -> bytes:
        """Return a small vector picture."""
        color = self._color()
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" width="160" height="48">'
            f'<rect width="160" height="48" fill="{color}"/><text x="8" y="30">{label}</text></svg>\n'
        ).encode()

    def png(self, side: int = 32) -> bytes:
        """Return a square RGB picture of side pixels, a noisy one, so that it hardly compresses."""
        rows = b"".join(b"\0" + self._random.randbytes(side * 3) for _ in range(side))
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        # Stored, not deflated: the bytes then don't depend on the zlib in use.
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
        body = b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
        return b"\x89PNG\r\n\x1a\n" + body

    def _text(self, head: str, lines: list[str], mean_lines: int, tail: str) -> bytes:
        count = 3 + min(int(self._random.expovariate(1 / mean_lines)), mean_lines * 6)
        return "".join((head, *self._random.choices(lines, k=count), tail)).encode()

    def _sentence(self) -> str:
        return " ".join(self._random.choices(_WORDS, k=self._random.randint(5, 12))).capitalize() + "."

    def _color(self) -> str:
        return f"#{self._random.randrange(1 << 24):06x}"

    def _markup_line(self, text: str) -> str:
        tag = self._random.choice(("p", "li", "h3", "span", "td"))
        return f'    <{tag} class="{self._random.choice(_WORDS)}">{text}</{tag}>\n'

    def _code_line(self, number: int) -> str:
        value = self._random.randrange(1 << 20)
        kind = self._random.randrange(3)
        if kind == 0:
            return f"        $data['item_{number}'] = {value};\n"
        if kind == 1:
            return f"        $data['texto'][] = '{self._random.choice(self._sentences)}';\n"
        return f"        // {self._random.choice(self._sentences)}\n"

    def _rule(self, number: int) -> str:
        return f".bloco-{number} {{ color: {self._color()}; margin: {self._random.randrange(40)}px; }}\n"
