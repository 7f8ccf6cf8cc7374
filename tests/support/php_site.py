"""A site of PHP pages for a test: versions whose pages tell of which version each of their parts is."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.releases import Releases

PARTS = 6
"""Files that a page is put together from."""

PAGE = """<?php
// As the front controller of the CMS: everything is found from where this file is.
for ($part = 0; $part < %d; $part++) { require __DIR__ . "/../system/part$part.php"; }
"""
RELATIVE_PAGE = """<?php
for ($part = 0; $part < %d; $part++) { require "../system/part$part.php"; }
"""
ROOTED_PAGE = """<?php
for ($part = 0; $part < %d; $part++) { require $_SERVER['DOCUMENT_ROOT'] . "/../system/part$part.php"; usleep(2000); }
"""
"""As sites have it that find their files by the path through the link: each file may be of another version."""

_PAST = 1_600_000_000


class PhpSite(Releases):
    """Versions served by PHP; their front controller is one file with a name in each, as after a dedupe."""

    @property
    def uploads(self) -> Path:
        return self.root / "uploads"

    def add(self, *names: str, result: str | None = "published") -> None:
        self.uploads.mkdir(exist_ok=True)
        for name in names:
            tree = self.directory / name
            (tree / "html").mkdir(parents=True)
            for folder in ("user/cache", "user/config", "user/templates/site.group"):
                (tree / "system" / folder).mkdir(parents=True)
            for page, content in (("index.php", PAGE), ("relative.php", RELATIVE_PAGE), ("rooted.php", ROOTED_PAGE)):
                shared = self.root / page
                if not shared.exists():
                    self._write(shared, content % PARTS)
                os.link(shared, tree / "html" / page)
            for part in range(PARTS):
                self._write(tree / f"system/part{part}.php", f"<?php echo 'part {part} of {name}', \"\\n\";\n")
            self._write(tree / "html/static.txt", f"{name}\n")
            (tree / "html/uploads").symlink_to("../../../uploads")
            for path in (tree, *tree.rglob("*")):
                os.chown(path, 33, 33, follow_symlinks=False)
            if result is not None:
                self.record(name, result)

    def page(self, name: str) -> str:
        """Return what index.php of a version answers."""
        return "".join(f"part {part} of {name}\n" for part in range(PARTS))

    def broken(self, name: str, index: str) -> None:
        """Give a version an index.php of its own."""
        path = self.directory / name / "html/index.php"
        path.unlink()
        self._write(path, index)

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content)
        # OPcache takes up no file that is younger than two seconds.
        os.utime(path, (_PAST, _PAST))


def parts(answer: str) -> set[str]:
    """Return the versions that the parts of a page come from."""
    return {line.rpartition(" ")[2] for line in answer.splitlines() if line}
