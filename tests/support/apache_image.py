"""An image of Debian's Apache with mod_php and OPcache, at their defaults, serving as the operators' container does."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.engine import REPOSITORY, SYSTEM_PATH, Engine
from tests.support.images import CACHE, ImageUnavailableError, digest, imported
from tests.support.node_image import MMDEBSTRAP, SUITE, run_tool

APACHE_TAG = "govma-test/apache:latest"
INCLUDE = "apache2,libapache2-mod-php,php-opcache,procps"
SITE = REPOSITORY / "govma_console/sample/site/docker/apache/000-default.conf"
HOOKS = (
    'chroot "$1" a2enmod -q rewrite headers',
    f'cp {shlex.quote(str(SITE))} "$1/etc/apache2/sites-available/000-default.conf"',
    'printf "ServerName localhost\\n" >"$1/etc/apache2/conf-enabled/name.conf"',
    # As the images of php:*-apache have it: what is said goes to the container's log.
    'sed -i "s|^ErrorLog .*|ErrorLog /dev/stderr|" "$1/etc/apache2/apache2.conf"',
    'mkdir -p "$1/var/www/versions"',
)
CHANGES = ('CMD ["apachectl", "-D", "FOREGROUND"]', "EXPOSE 80", "ENV APACHE_STARTED_BY_SYSTEMD=1")


def build(target: Path) -> None:
    """Make the tar of the root file system; raise ImageUnavailableError when that cannot be done."""
    if shutil.which("mmdebstrap", path=SYSTEM_PATH) is None:
        raise ImageUnavailableError("mmdebstrap is not installed (scripts/test-packages does it)")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix="building-") as name:
        made = Path(name) / "made.tar"
        options = [f"--include={INCLUDE}", *(f"--customize-hook={hook}" for hook in HOOKS)]
        run_tool([*MMDEBSTRAP, *options, SUITE, str(made)], "mmdebstrap")
        made.replace(target)
    for old in target.parent.glob("apache-*.tar"):
        if old != target:
            old.unlink()


@contextmanager
def apache_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, made once and kept below .cache; give its tag."""
    recipe = digest(SUITE, *MMDEBSTRAP, INCLUDE, *HOOKS, SITE.read_bytes())
    kept = CACHE / f"apache-{recipe}.tar"

    def make() -> Path:
        if not kept.exists():
            build(kept)
        return kept

    with imported(engine, APACHE_TAG, recipe, make, CHANGES) as tag:
        yield tag
