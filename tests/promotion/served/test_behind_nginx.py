"""The activation of a site behind a real nginx, which keeps pages of Apache or PHP-FPM and opened static files."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from govma_core.errors import RevertedError, UnprovedError
from govma_core.promotion import promote
from govma_core.promotion.web_page import Address, NoAnswerError, ask
from tests.promotion.served.conftest import FIRST, SECOND, THIRD
from tests.support.apache import Apache, serving
from tests.support.engine import SYSTEM_PATH, Engine
from tests.support.php_site import PhpSite
from tests.support.waiting import PATIENCE, wait_for

CONFIGURATION = """
user root; worker_processes 1; daemon off; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 256; }}
http {{
    include /etc/nginx/mime.types; access_log off;
    {temporary}
    proxy_cache_path {place}/cache keys_zone=pages:1m;
    fastcgi_cache_path {place}/fastcgi-cache keys_zone=answers:1m;
    server {{
        listen 127.0.0.1:{port};
        root {site}/current-version/html;
        {files}
        location ~* \\.(txt|css)$ {{ try_files $uri =404; }}
        {php}
    }}
}}
"""
APACHE = """
        location / {{
            proxy_pass {address}; proxy_set_header Host $host;
            {pages}
        }}
"""
FPM = """
        location / {{ try_files $uri /index.php?$args; }}
        location ~ \\.php$ {{
            include /etc/nginx/fastcgi_params; fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;
            fastcgi_pass unix:{place}/socket;
            fastcgi_cache answers; fastcgi_cache_valid any 10m; fastcgi_cache_key $host$request_uri;
            fastcgi_ignore_headers Cache-Control Expires;
        }}
"""
FPM_CONFIGURATION = """
[global]
daemonize = no
pid = {place}/pid
error_log = {place}/log
[site]
user = www-data
listen = {place}/socket
pm = static
pm.max_children = 2
php_admin_value[opcache.enable] = 1
"""
PAGES = """
            proxy_cache pages; proxy_cache_valid any 10m; proxy_ignore_headers Cache-Control Expires;
            proxy_cache_key {key};
"""
FILES = "open_file_cache max=100; open_file_cache_valid 600s; open_file_cache_min_uses 1;"


@dataclass
class Nginx:
    """A running nginx: its address, and the command that reloads it."""

    address: Address
    reload: str


@contextmanager
def nginx(site: PhpSite, php: str, *, files: str = "") -> Iterator[Nginx]:
    """Run nginx, which has pages from where its locations `php` say and serves static files, until the block ends."""
    place = site.root / "nginx"
    place.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {place}/{kind};" for kind in kinds)
    settings = {"site": site.directory, "temporary": temporary, "port": port}
    (place / "conf").write_text(CONFIGURATION.format(place=place, php=php, files=files, **settings))
    program = shutil.which("nginx", path=SYSTEM_PATH)
    if program is None:
        pytest.skip("nginx is not installed (scripts/test-packages does it)")
    server = Nginx(Address("127.0.0.1", port), f"{program} -c {place}/conf -s reload")
    with subprocess.Popen([program, "-c", place / "conf"]) as process:
        try:
            wait_for(lambda: answers(server), "nginx")
            yield server
        finally:
            process.terminate()


@contextmanager
def php_fpm(site: PhpSite) -> Iterator[tuple[str, str]]:
    """Run PHP-FPM until the block ends; yield nginx's locations for it, and the command that reloads it."""
    programs = sorted(Path("/usr/sbin").glob("php-fpm*"))
    if not programs:
        pytest.skip("PHP-FPM is not installed (scripts/test-packages does it)")
    place = site.root / "fpm"
    place.mkdir()
    (place / "conf").write_text(FPM_CONFIGURATION.format(place=place))
    with subprocess.Popen([programs[-1], "--fpm-config", place / "conf"]) as process:
        try:
            wait_for((place / "socket").exists, "PHP-FPM")
            yield FPM.format(place=place), f"kill -USR2 {process.pid}"
        finally:
            process.terminate()


def answers(server: Nginx) -> bool:
    try:
        return ask(server.address, "/static.txt").status == 200
    except NoAnswerError:
        return False


@pytest.fixture
def apache(docker_engine: Engine, apache_image: str, site: PhpSite) -> Iterator[Apache]:
    with serving(docker_engine, apache_image, site.directory, site.uploads) as server:
        site.flags["activation_containers"] = [server.service]
        yield server


def test_a_version_is_judged_by_its_own_pages_and_not_by_those_kept_of_the_one_before(
    site: PhpSite, apache: Apache
) -> None:
    site.add(THIRD)
    site.broken(SECOND, "<?php http_response_code(500); echo 'sorry';")
    pages = PAGES.format(key="$host$request_uri")
    with nginx(site, APACHE.format(address=apache.address, pages=pages)) as server:
        assert ask(server.address, "/").text == site.page(FIRST)
        site.flags |= {"activation_url": str(server.address), "activation_checks": [{"path": "/"}]}
        with pytest.raises(RevertedError, match=r"/ answered 500, not 200"):
            promote.run(site.context(), version=SECOND)
        promote.run(site.context(), version=THIRD)
        assert "served after" in site.stages()["activation"].remark
        assert ask(server.address, "/").text == site.page(FIRST), "visitors get what nginx keeps, as it is set up to"


def test_the_same_with_answers_of_php_fpm_kept(site: PhpSite) -> None:
    site.add(THIRD)
    site.broken(SECOND, "<?php http_response_code(500); echo 'sorry';")
    with php_fpm(site) as (php, reload), nginx(site, php) as server:
        assert ask(server.address, "/").text == site.page(FIRST)
        site.flags |= {"activation_url": str(server.address), "activation_command": reload}
        site.flags |= {"activation_checks": [{"path": "/"}], "activation_timeout": int(PATIENCE)}
        with pytest.raises(RevertedError, match=r"/ answered 500, not 200"):
            promote.run(site.context(), version=SECOND)
        promote.run(site.context(), version=THIRD)
        assert "served after" in site.stages()["activation"].remark
        assert ask(server.address, "/").text == site.page(FIRST), "visitors get what nginx keeps, as it is set up to"


def test_a_cache_that_cannot_be_passed_proves_nothing(site: PhpSite, apache: Apache) -> None:
    pages = PAGES.format(key="$host$uri") + "add_header X-Cache-Status $upstream_cache_status always;"
    with nginx(site, APACHE.format(address=apache.address, pages=pages)) as server:
        site.flags |= {"activation_url": str(server.address), "activation_checks": [{"path": "/"}]}
        site.flags["activation_timeout"] = 1
        with pytest.raises(UnprovedError, match=r"not proved.*from a cache \(x-cache-status: HIT\)"):
            promote.run(site.context(), version=SECOND)
        assert "/ came from a cache (x-cache-status: HIT)" in site.log("warning")
        assert site.store.pointer().version == SECOND


def test_static_files_have_to_be_of_the_new_version_too(site: PhpSite, apache: Apache) -> None:
    """Guards against a web server that keeps files open: PHP answers from the new version, style sheets are old."""
    with nginx(site, APACHE.format(address=apache.address, pages=""), files=FILES) as server:
        site.flags |= {"activation_url": str(server.address), "activation_timeout": 1}
        with pytest.raises(
            UnprovedError, match=rf"8 of 16 answers .* after 1 s \(such as: the static file /[\w.-]+ of {FIRST}\)"
        ):
            promote.run(site.context(), version=SECOND)
        site.flags |= {"activation_command": server.reload, "activation_timeout": int(PATIENCE)}
        promote.run(site.context(), version=FIRST)
        assert "served after" in site.stages()["activation"].remark
