"""The activation: real Apache with mod_php and OPcache, asked by a real client, until it serves what is live."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from govma_core.deploy.doctor import examine
from govma_core.errors import NotTriedError, RefusedError, RevertedError, UnprovedError
from govma_core.promotion import promote, rollback
from govma_core.runs import recovery
from govma_core.settings import to_plain
from govma_core.versions.history import History, spans
from govma_core.versions.remove import PROBE
from tests.promotion.served.conftest import FIRST, SECOND, THIRD
from tests.support.apache import Apache, serving
from tests.support.engine import Engine
from tests.support.handlers import QuietHandler
from tests.support.handlers import serving as serving_pages
from tests.support.load import Load
from tests.support.php_site import PhpSite, parts
from tests.support.waiting import PATIENCE, wait_for


@pytest.fixture
def apache(docker_engine: Engine, apache_image: str, site: PhpSite) -> Iterator[Apache]:
    """Yield an Apache whose workers have all served the version that is live, so that their caches hold it."""
    with serving(docker_engine, apache_image, site.directory, site.uploads) as server:
        for _ in range(30):
            assert server.get().text == site.page(FIRST)
        yield server


def activated(site: PhpSite, apache: Apache, **more: Any) -> None:
    site.flags |= {"activation_containers": [apache.service], "activation_timeout": int(PATIENCE)} | more


def served(apache: Apache, path: str = "/") -> set[str]:
    """Return the versions that are served, by as many answers as there are workers several times over."""
    return {version for _ in range(40) for version in parts(apache.get(path).text)}


def test_without_activation_php_goes_on_serving_the_version_before(site: PhpSite, apache: Apache) -> None:
    """Guards that the world is as it was measured: were this to fail, nothing here would prove anything."""
    promote.run(site.context(), version=SECOND)
    assert apache.get("/static.txt").text.strip() == SECOND
    assert FIRST in served(apache)
    assert "The web server was not reloaded" in site.log("info")


def test_with_activation_every_worker_serves_the_new_version(site: PhpSite, apache: Apache) -> None:
    """Guards the main promise, for promote and rollback: caches dropped, proved by PHP itself, and nothing left."""
    activated(site, apache, activation_checks=[{"path": "/", "contains": "part 5 of"}])
    before = set(apache.workers())
    promote.run(site.context(), version=SECOND)
    assert served(apache) == {SECOND}
    assert served(apache, "/relative.php") == {SECOND}
    assert before.isdisjoint(apache.workers())
    assert "served after" in site.stages()["activation"].remark
    assert "workers" in site.stages()["activation"].remark
    rollback.run(site.context())
    assert served(apache) == {FIRST}
    for version in (FIRST, SECOND):
        names = [path.name for path in (site.directory / version / "html").iterdir()]
        assert not any(PROBE.fullmatch(name) for name in names)


def test_promotions_under_load_lose_no_request_and_mix_nothing(site: PhpSite, apache: Apache) -> None:
    """Guards the visitors: PHP and static pages without pause, while versions are switched and Apache reloaded."""
    activated(site, apache)
    with Load(apache.address, ["/", "/static.txt"]) as load:
        for number in range(6):
            promote.run(site.context(), version=(SECOND, FIRST)[number % 2])
    assert load.answers > 100
    assert load.failed == []
    assert load.mixed == 0


def test_what_is_not_proved_is_said_loudly_or_reverted(site: PhpSite, apache: Apache) -> None:
    """Guards `on_unproved`: without a reload PHP stays with the version before, and that is noticed."""
    activated(site, apache, activation_reload="true", activation_timeout=1)
    # On a machine that is busy with other tests Apache may not answer in time, either.
    doubt = rf"such as: ({FIRST}|[\w-]+: no whole answer)"
    with pytest.raises(UnprovedError, match=rf"{SECOND} is live, but it is not proved .*{doubt}") as error:
        promote.run(site.context(), version=SECOND)
    assert error.value.exit_code == 6
    assert site.stages()["activation"].outcome == "warning"
    assert site.store.pointer().version == SECOND
    activated(site, apache, activation_reload="", activation_on_unproved="revert", activation_timeout=1)
    apache.run("apachectl", "-k", "graceful")
    wait_for(lambda: served(apache) == {SECOND}, "the end of the workers of before")
    with pytest.raises(RevertedError, match=rf"{FIRST} was live for \d+ s and is not any more: .*{SECOND} is live"):
        promote.run(site.context(), version=FIRST)
    assert site.store.pointer().version == SECOND
    assert [promotion.how for promotion in History(site.state).read()] == ["promote", "promote", "revert"]


def test_the_one_that_is_live_can_be_proved_once_more(site: PhpSite, apache: Apache) -> None:
    """Guards the way out of exit code 6: nothing is switched, and the history tells what it came to."""
    activated(site, apache, activation_reload="true", activation_timeout=1)
    with pytest.raises(UnprovedError):
        promote.run(site.context(), version=SECOND)
    activated(site, apache, activation_reload="apachectl -k graceful", activation_timeout=30)
    assert "is live already; served after" in promote.run(site.context(), version=SECOND).message
    assert served(apache) == {SECOND}
    entries = History(site.state).entries()
    assert [(span.version, span.result[:12]) for span in spans(entries, SECOND)[1:]] == [(SECOND, "served after")]
    activated(site, apache, activation_checks=[{"path": "/nunca"}])
    with pytest.raises(UnprovedError, match=r"does not answer as it must: /nunca"):
        promote.run(site.context(), version=SECOND)
    assert (site.stages()["activation"].outcome, site.stages()["checks"].outcome) == ("ok", "failed")
    assert site.store.pointer().version == SECOND


def test_a_version_that_breaks_the_site_is_switched_back_once(site: PhpSite, apache: Apache) -> None:
    """Guards `on_failure`: back, served again, and no second way back whatever the checks say then."""
    site.broken(SECOND, "<?php http_response_code(500); echo 'sorry';")
    activated(site, apache, activation_checks=[{"path": "/"}])
    with pytest.raises(RevertedError, match=rf"/ of \w+ answered 500, not 200.*{FIRST} is live again"):
        promote.run(site.context(), version=SECOND)
    assert served(apache) == {FIRST}
    activated(site, apache, activation_on_failure="warn")
    with pytest.raises(UnprovedError, match=r"does not answer as it must: / of \w+ answered 500"):
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == SECOND


def test_what_failed_before_is_no_reason_to_switch_back(site: PhpSite, apache: Apache) -> None:
    activated(site, apache, activation_checks=[{"path": "/nunca"}, {"path": "/"}])
    promote.run(site.context(), version=SECOND)
    assert served(apache) == {SECOND}
    assert "answered 404, not 200; but that was so before the switch, too." in site.log("warning")


def test_nobody_to_tell_keeps_nobody_from_rolling_back(site: PhpSite, docker_engine: Engine) -> None:
    site.flags["activation_containers"] = ["nobody-at-all"]
    (finding,) = [finding for finding in examine(site.context()) if finding.what == "activation"]
    assert finding.state == "wrong"
    assert "No running container is 'nobody-at-all'" in finding.said
    with pytest.raises(UnprovedError, match="No running container is 'nobody-at-all'"):
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == SECOND


def test_without_an_engine_it_goes_live_and_says_so(site: PhpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{site.root}/no.sock")
    site.flags["activation_containers"] = ["apache"]
    with pytest.raises(UnprovedError, match="Docker does not answer"):
        rollback.run(site.context(), version=SECOND)
    assert site.store.pointer().version == SECOND


def test_a_page_of_the_site_may_be_the_proof_and_a_command_the_reload(site: PhpSite, apache: Apache) -> None:
    """Guards the ways for sites that are no container: an address, a command, a page that names its version."""
    (site.root / "reload").write_text(f"docker exec {apache.container.id} apachectl -k graceful")
    site.flags |= {
        "activation_url": str(apache.address),
        "activation_command": f"sh {site.root}/reload",
        "activation_proof_path": "/index.php",
    }
    promote.run(site.context(), version=SECOND)
    assert served(apache) == {SECOND}
    site.flags |= {"activation_command": "exit 3", "activation_timeout": 1}
    with pytest.raises(UnprovedError, match=r"activation.command ended with exit code 3"):
        promote.run(site.context(), version=FIRST)


def test_where_the_probe_is_not_run_the_setting_for_a_page_of_the_site_is_named(site: PhpSite) -> None:
    """Guards operators whose web server sends everything to index.php, or forbids other files of PHP."""

    class HomePage(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>Portal</h1>")

    with serving_pages(HomePage) as port:
        site.flags |= {"activation_url": f"http://127.0.0.1:{port}", "activation_timeout": 1}
        with pytest.raises(
            UnprovedError, match=r"set activation\.proof_path to a page that has the name of its version"
        ):
            promote.run(site.context(), version=SECOND)


HTACCESS = """
RewriteEngine On
RewriteCond %{HTTP:X-Forwarded-Proto} !=https
RewriteRule ^ https://portal.example%{REQUEST_URI} [R=301,L]
AuthType Basic
AuthName portal
AuthUserFile /var/www/versions/current-version/passwords
Require valid-user
"""
PASSWORD = "ten-cats-of-the-portal"
SITE_AUTH = base64.b64encode(f"editor:{PASSWORD}".encode()).decode()


def test_a_site_that_answers_only_requests_with_certain_headers(
    site: PhpSite, apache: Apache, apache_image: str
) -> None:
    """Guards sites behind a proxy that ends TLS, and those that ask for a password: the check and the proof send it."""
    passwords = f"editor:{{SHA}}{base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()}\n"
    for version in (FIRST, SECOND):
        (site.directory / version / "html/.htaccess").write_text(HTACCESS)
        (site.directory / version / "passwords").write_text(passwords)
    env_file = site.root / "env"
    env_file.write_text(f'BANCO=db-7\nSITE_AUTH="{SITE_AUTH}"\n')
    headers = {"x-forwarded-proto": "https", "Authorization": "Basic $SITE_AUTH"}
    checks = [{"path": "/", "contains": "part 5 of", "request_headers": headers}]
    activated(site, apache, activation_checks=checks, rehearsal_checks=checks, rehearsal_image=apache_image)
    site.flags["env_file"] = str(env_file)
    promote.run(site.context(), version=SECOND)
    assert site.stages()["rehearsal"].outcome == site.stages()["checks"].outcome == "ok"
    assert "served after" in site.stages()["activation"].remark
    assert SITE_AUTH not in str(site.events) + json.dumps(to_plain(site.settings))

    env_file.write_text("SITE_AUTH=''\n")
    sentence = rf"env_file \({env_file}\) has no value for SITE_AUTH, which request_headers of a check name"
    with pytest.raises(NotTriedError, match=sentence):
        promote.run(site.context(), version=FIRST)
    findings = {finding.what: finding.said for finding in examine(site.context()) if finding.state == "wrong"}
    assert all(re.match(sentence, findings[what]) for what in ("rehearsal", "activation"))
    site.flags["activation_timeout"] = 1
    with pytest.raises(UnprovedError, match=sentence):
        rollback.run(site.context())

    site.flags["activation_checks"] = []
    with pytest.raises(UnprovedError, match=r"such as: [\w-]+: status 401.*name them in activation\.checks"):
        promote.run(site.context(), version=SECOND, rehearse=False)


def test_a_probe_that_a_killed_run_left_is_swept(site: PhpSite) -> None:
    probes = [site.directory / SECOND / "html" / f"govma-probe-{'0' * 32}.{kind}" for kind in ("php", "txt")]
    for probe in probes:
        probe.write_text("<?php")
    mine = site.directory / SECOND / "html/govma-probe-mine.php"
    mine.write_text("<?php")
    recovery.clear_versions(site.context())
    assert not any(probe.exists() for probe in probes)
    assert mine.exists()


def test_the_probe_is_not_written_through_a_link(site: PhpSite, apache: Apache, tmp_path: Path) -> None:
    """Guards what root writes into a tree of the web server's: `html` may have become a link to anywhere."""
    site.add(THIRD)
    html, outside = site.directory / SECOND / "html", tmp_path / "outside"
    html.rename(outside)
    html.symlink_to(outside)
    listing = sorted(path.name for path in outside.iterdir())
    with pytest.raises(RefusedError, match="incomplete"):
        promote.run(site.context(), version=SECOND)
    activated(site, apache)
    site.live(SECOND)
    with pytest.raises(UnprovedError, match="The probe could not be put"):
        promote.run(site.context(), version=THIRD)
    assert sorted(path.name for path in outside.iterdir()) == listing
