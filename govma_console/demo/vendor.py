"""The two vendor tarballs: content of our own in the shape of the real CMS and its themes."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from govma_console.demo.prose import Prose

EE_TARBALL = "ee.6.0.6.patched-v2.tar.gz"
THEMES_TARBALL = "themes.tar.gz"

_MTIME = 1_622_548_800
_AREAS = ("Addons", "Controller", "Library", "Model", "Service", "View", "legacy/libraries", "legacy/helpers")


def ee_files(count: int) -> dict[str, bytes]:
    """Return count PHP-like files (at least two) below `ee/`, keyed by path."""
    prose = Prose("ee")
    found = {
        "ee/boot.php": b"<?php\n\ndefine('APP_VER', '6.0.6');\n",
        "ee/eecms": b"#!/usr/bin/env php\n<?php\nrequire __DIR__ . '/boot.php';\necho APP_VER, \"\\n\";\n",
    }
    for number in range(count - len(found)):
        area = _AREAS[number % len(_AREAS)]
        found[f"ee/ExpressionEngine/{area}/Modulo{number // 64}/Classe{number}.php"] = prose.php(f"Classe{number}")
    return found


def theme_files(count: int) -> dict[str, bytes]:
    """Return count files (at least one) below `themes/`; one of them beside files that the repository holds."""
    prose = Prose("themes")
    found = {"themes/user/LEIAME.txt": b"Temas proprios ficam nesta pasta.\n"}
    for number in range(count - len(found)):
        kind = ("css", "js", "png", "svg")[number % 4]
        path = f"themes/ee/{'img' if kind in ('png', 'svg') else kind}/pacote{number // 64}/item-{number}.{kind}"
        match kind:
            case "css":
                found[path] = prose.css(path)
            case "js":
                found[path] = prose.javascript(path)
            case "png":
                found[path] = prose.png()
            case _:
                found[path] = prose.svg(str(number))
    return found


def mode_of(path: str) -> int:
    """Return the permission bits that a file of the sample has."""
    return 0o755 if path.endswith((".sh", "/eecms")) else 0o644


def write_tarballs(vendor: Path, count: int) -> dict[str, bytes]:
    """Write both tarballs into the folder, count files in all (three quarters the CMS); give the files by path.

    Owner, times and order are fixed, so the same count gives the same bytes.
    """
    themes = theme_files(count // 4)
    ee = ee_files(count - len(themes))
    (vendor / EE_TARBALL).write_bytes(_tarball(ee))
    (vendor / THEMES_TARBALL).write_bytes(_tarball(themes))
    return ee | themes


def _tarball(files: Mapping[str, bytes]) -> bytes:
    folders = {
        "/".join(parts[:depth]) for parts in (path.split("/") for path in files) for depth in range(1, len(parts))
    }
    packed = io.BytesIO()
    # The name and time that gzip would write into its header differ from run to run.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=packed, mtime=_MTIME) as stream,
        tarfile.open(mode="w|", fileobj=stream, format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path in sorted(folders | files.keys()):
            entry = tarfile.TarInfo(path)
            entry.mtime, entry.mode = _MTIME, mode_of(path)
            if path in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size = len(files[path])
                archive.addfile(entry, io.BytesIO(files[path]))
    return packed.getvalue()
