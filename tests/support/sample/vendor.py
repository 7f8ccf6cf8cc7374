"""The content of the two vendor tarballs, in the shape of the real CMS and its themes, with any number of files."""

from __future__ import annotations

from pathlib import Path

from tests.support.sample.prose import Prose

_AREAS = ("Addons", "Controller", "Library", "Model", "Service", "View", "legacy/libraries", "legacy/helpers")


def write_vendor(folder: Path, count: int) -> None:
    """Write the folders `ee` (three quarters of the files) and `themes`; the same count gives the same files."""
    themes = _theme_files(count // 4)
    ee = _ee_files(count - len(themes))
    for path, data in (ee | themes).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    (folder / "ee/eecms").chmod(0o755)


def _ee_files(count: int) -> dict[str, bytes]:
    """Return count PHP-like files (at least two) below `ee/`, keyed by path."""
    prose = Prose("ee")
    files = {
        "ee/boot.php": b"<?php\n\ndefine('APP_VER', '6.0.6');\n",
        "ee/eecms": b"#!/usr/bin/env php\n<?php\nrequire __DIR__ . '/boot.php';\necho APP_VER, \"\\n\";\n",
    }
    for number in range(count - len(files)):
        area = _AREAS[number % len(_AREAS)]
        files[f"ee/ExpressionEngine/{area}/Modulo{number // 64}/Classe{number}.php"] = prose.php(f"Classe{number}")
    return files


def _theme_files(count: int) -> dict[str, bytes]:
    """Return count files (at least one) below `themes/`; one of them beside files that the repository holds."""
    prose = Prose("themes")
    files = {"themes/user/LEIAME.txt": b"Temas proprios ficam nesta pasta.\n"}
    for number in range(count - len(files)):
        kind = ("css", "js", "png", "svg")[number % 4]
        path = f"themes/ee/{'img' if kind in ('png', 'svg') else kind}/pacote{number // 64}/item-{number}.{kind}"
        match kind:
            case "css":
                files[path] = prose.css(path)
            case "js":
                files[path] = prose.javascript(path)
            case "png":
                files[path] = prose.png()
            case _:
                files[path] = prose.svg(str(number))
    return files
