"""A web page cannot make the browser of somebody on this machine start a deploy: tried with a real Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server.browser import Elsewhere, browsing, page_shown
from tests.support.sample import create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser (apt-get install chromium)"),
]

# Each names itself in the query, so that the server's log tells which of them arrived.
MARKUP = """
<img src="@/deploy?img">
<img src="@/deploy?img-silent" referrerpolicy="no-referrer">
<script src="@/deploy?script"></script>
<script src="@/deploy?module" type="module"></script>
<link rel="stylesheet" href="@/deploy?stylesheet">
<link rel="prefetch" href="@/deploy?prefetch">
<link rel="preload" as="image" href="@/deploy?preload">
<iframe src="@/deploy?iframe"></iframe>
<iframe src="@/deploy?iframe-silent" referrerpolicy="no-referrer" sandbox></iframe>
<iframe srcdoc='<meta http-equiv="refresh" content="0;url=@/deploy?refresh">'></iframe>
<object data="@/deploy?object"></object>
<embed src="@/deploy?embed">
<video src="@/deploy?video" preload="auto"></video>
<audio src="@/deploy?audio" preload="auto"></audio>
<div style="background: url(@/deploy?style); height: 9px">.</div>
<svg width="9" height="9"><image href="@/deploy?svg" width="9" height="9"/></svg>
<iframe name="a"></iframe><iframe name="b"></iframe><iframe name="c"></iframe><iframe name="d"></iframe>
<iframe name="e"></iframe>
<a id="link" target="a" href="@/deploy?link">.</a>
<a id="silent" target="b" rel="noreferrer" ping="@/deploy?ping" href="@/deploy?link-silent">.</a>
<form id="get" target="c" action="@/deploy"><input name="form-get" value="1"></form>
<form id="post" target="d" method="post" action="@/deploy?form-post"></form>
<form id="order" target="e" method="post" enctype="text/plain" action="@/api/v1/runs?form-order">
<input name='{"operation": "deploy", "arguments": {}, "x": "' value='"}'></form>
"""
SCRIPT = """
for (const id of ["link", "silent"]) document.getElementById(id).click()
for (const id of ["get", "post", "order"]) document.getElementById(id).submit()
const order = JSON.stringify({operation: "deploy"}), quiet = () => null
const all = []
const ask = (path, options) => all.push(fetch(path, options).catch(quiet))
ask("@/deploy?fetch", {})
ask("@/deploy?fetch-silent", {mode: "no-cors", referrerPolicy: "no-referrer"})
ask("@/deploy?fetch-post", {mode: "no-cors", method: "POST", keepalive: true})
ask("@/api/v1/runs?fetch-order", {mode: "no-cors", method: "POST", body: order})
ask("@/api/v1/runs?fetch-json", {method: "POST", body: order, headers: {"Content-Type": "application/json"}})
ask("@/deploy?fetch-header", {headers: {"X-Requested-With": "x"}})
const xhr = new XMLHttpRequest()
xhr.open("POST", "@/api/v1/runs?xhr")
xhr.send(order)
navigator.sendBeacon("@/deploy?beacon")
navigator.sendBeacon("@/api/v1/runs?beacon-order", order)
new EventSource("@/deploy?events")
new WebSocket("@/deploy?websocket".replace("http", "ws"))
new Worker(URL.createObjectURL(new Blob(['try { importScripts("@/deploy?worker") } catch {}'])))
window.open("@/deploy?open")
window.open("@/deploy?open-silent", "_blank", "noreferrer")
"""
NAMES = {"form-get", *re.findall(r"@/[a-z0-9/]+\?([a-z-]+)", MARKUP + SCRIPT)}
# What this browser fetches only when it expects that to be worth its while.
GUESSES = """
<link rel="prerender" href="@/deploy?prerender">
<script type="speculationrules">{"prerender": [{"urls": ["@/deploy?rules"], "eagerness": "immediate"}],
"prefetch": [{"urls": ["@/deploy?rules-prefetch"], "eagerness": "immediate"}]}</script>
"""
VISITS = 3
SILENT = '<meta name="referrer" content="no-referrer">'


def page(target: str, head: str) -> str:
    """Return a page that tries everything against a server."""
    return f"<!doctype html>{head}<body>{GUESSES}{MARKUP}<script>{SCRIPT}</script>".replace("@", target)


def refusals(server: Server) -> dict[str, str]:
    """Return why requests were refused, by the name in their query."""
    return dict(re.findall(r"Refused \S+ \S+\?([a-z-]+)\S* of [^:]+: (.*)", server.said()))


def assert_a_program_deploys(server: Server) -> None:
    """Make the one run that there is then: whatever the browser asked for before has made none."""
    subprocess.run(["curl", "-sf", f"{server.url}/deploy"], check=True, stdout=subprocess.DEVNULL)
    assert [record.state for record in server.runs.records()] == ["ok"]


@pytest.mark.parametrize(
    ("from_", "to", "head", "reasons"),
    [
        ("127.0.0.1", "127.0.0.1", "", {"Origin", "Referer", "Sec-Fetch-Site"}),
        ("localhost", "127.0.0.1", SILENT, {"Origin", "Referer", "Sec-Fetch-Site"}),
        # A name that the server answers to; this browser takes it for any other site with plain HTTP.
        ("evil.example", "deploy.example.org", SILENT, {"Origin", "Referer", "User-Agent"}),
        # A name of the page's owner, who had it resolve to this machine ("DNS rebinding").
        ("evil.example", "rebound.example", "", {"allowed_hosts names more"}),
    ],
)
def test_nothing_that_a_page_tries_starts_a_deploy(
    tmp_path: Path, from_: str, to: str, head: str, reasons: set[str]
) -> None:
    with Server(create_sample(tmp_path / "site"), allowed_hosts=["deploy.example.org"]) as server:
        target = f"http://{to}:{server.port}"
        with Elsewhere({"/": page(target, head)}) as port:
            for _ in range(VISITS):
                # A browser under load now and then gives up a request of its own; the next visit sends it.
                with browsing(tmp_path, f"http://{from_}:{port}/"), suppress(AssertionError):
                    wait_for(lambda: refusals(server).keys() >= NAMES, "every request of the page")
                    break
        assert NAMES - refusals(server).keys() == set()
        assert {re.findall(r"\(([^()]+)\)", reason)[-1] for reason in refusals(server).values()} == reasons
        assert_a_program_deploys(server)


def test_an_address_that_is_typed_shows_why_it_does_nothing(tmp_path: Path) -> None:
    with Server(create_sample(tmp_path / "site"), allowed_hosts=["deploy.example.org"]) as server:
        for host, sentence in (
            ("127.0.0.1", "(Sec-Fetch-Site); use curl"),
            ("deploy.example.org", "(User-Agent); use curl"),
            ("rebound.example", "does not answer as 'rebound.example:"),
        ):
            assert sentence in page_shown(tmp_path, f"http://{host}:{server.port}/deploy"), host
        assert_a_program_deploys(server)
