"""An image of Debian's Apache with mod_php and OPcache, at their defaults, serving as the operators' container does."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.debian_image import debian_with
from tests.support.engine import REPOSITORY, Engine
from tests.support.images import digest

SITE = REPOSITORY / "govma_console/demo/site/docker/apache/000-default.conf"
INSTRUCTIONS = (
    "RUN a2enmod -q rewrite headers"
    # As the images of php:*-apache have it: what is said goes to the container's log.
    ' && sed -i "s|^ErrorLog .*|ErrorLog /dev/stderr|" /etc/apache2/apache2.conf'
    ' && printf "ServerName localhost\\n" >/etc/apache2/conf-enabled/name.conf && mkdir -p /var/www/versions',
    "EXPOSE 80",
    "ENV APACHE_STARTED_BY_SYSTEMD=1",
    'CMD ["apachectl", "-D", "FOREGROUND"]',
)


def _layer(target: Path, _: Path) -> None:
    with tarfile.open(target, "w") as tar:
        tar.add(SITE, "etc/apache2/sites-available/000-default.conf")


@contextmanager
def apache_image(engine: Engine) -> Iterator[str]:
    """Have the image in the engine, what it is made from kept below .cache; give its tag."""
    with debian_with(engine, "apache", _layer, digest(SITE.read_bytes()), *INSTRUCTIONS) as tag:
        yield tag
