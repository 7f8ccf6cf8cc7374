"""Which requests are a program's, and which a web page's: the headers that tell, as a table."""

from __future__ import annotations

import pytest

from govma_console.server.browser_guard import allowed_names, is_loopback, refusal_reason

LOOPBACK = allowed_names(["127.0.0.1"], [])
HOST = ("Host", "127.0.0.1:50024")
CURL = (HOST, ("User-Agent", "curl/7.88.1"), ("Accept", "*/*"))


def refused(
    *headers: tuple[str, str],
    http_version: str = "1.1",
    names: frozenset[str] | None = LOOPBACK,
    has_token: bool = False,
) -> str:
    """Return why a request with these headers is refused, an empty text when it is not."""
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return refusal_reason(raw, http_version, names, lambda: has_token)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:50024",
        "127.0.0.1:1",
        "localhost",
        "localhost:50024",
        "LocalHost:50024",
        "[::1]",
        "[::1]:50024",
        " localhost ",
    ],
)
def test_a_program_that_asks_for_a_loopback_name_is_answered(host: str) -> None:
    assert refused(("Host", host)) == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "0.0.0.0:50024",
        "[::]",
        "[::]:50024",
        "::1",
        "::1:50024",
        "[::1",
        "[::1]x:80",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:50024:50024",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0x7f000001",
        "[::ffff:127.0.0.1]",
        "localhost.",
        "localhost.evil.example",
        "evil.localhost",
        "rebind.evil.example",
        "rebind.evil.example:50024",
        "127.0.0.1.nip.io:50024",
        "localtest.me",
        "user@127.0.0.1",
        "127.0.0.1, evil.example",
        "127.0.0.1/",
        "\xb2",
    ],
)
def test_every_other_host_is_refused_as_a_name_made_to_point_here_would_be(host: str) -> None:
    assert "does not answer as" in refused(("Host", host))


def test_a_name_of_the_settings_is_answered_and_nothing_like_it() -> None:
    names = allowed_names(["127.0.0.1"], ["Deploy.Example.org"])
    assert refused(("Host", "deploy.example.org:50024"), names=names) == ""
    assert refused(("Host", "DEPLOY.example.org"), names=names) == ""
    assert refused(HOST, names=names) == ""
    assert refused(("Host", "deploy.example.org.evil.example"), names=names)
    assert refused(("Host", "xdeploy.example.org"), names=names)


def test_0_0_0_0_is_never_a_name_even_when_the_settings_say_so() -> None:
    names = allowed_names(["0.0.0.0", "::"], ["0.0.0.0", "[::]"])
    assert refused(("Host", "0.0.0.0:50024"), names=names)
    assert refused(("Host", "[::]:50024"), names=names)


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_a_server_that_listens_everywhere_is_still_asked_by_loopback_names(everywhere: str) -> None:
    names = allowed_names([everywhere], [])
    for host in ("127.0.0.1:50024", "localhost:50024", "[::1]:50024"):
        assert refused(("Host", host), names=names) == "", host
    assert refused(("Host", "10.0.0.7:50024"), names=names)


def test_an_address_listened_on_is_a_name() -> None:
    names = allowed_names(["10.0.0.7", "2001:db8::1"], [])
    assert refused(("Host", "10.0.0.7:50024"), names=names) == ""
    assert refused(("Host", "[2001:db8::1]:50024"), names=names) == ""
    assert refused(("Host", "[2001:DB8::1]"), names=names) == ""
    assert refused(HOST, names=names)
    assert refused(("Host", "127.0.0.2:50024"), names=allowed_names(["127.0.0.2"], [])) == ""


def test_two_hosts_are_refused_even_when_both_are_right() -> None:
    assert "more than one Host" in refused(HOST, HOST)
    assert "more than one Host" in refused(HOST, ("Host", "evil.example"))
    assert "more than one Host" in refused(HOST, HOST, names=None)


def test_a_host_may_be_missing_in_http_1_0_only() -> None:
    assert refused(http_version="1.0") == ""
    assert refused(http_version="1.1") == "The request has no Host."
    assert refused(("Host", "evil.example"), http_version="1.0")
    assert refused(HOST, HOST, http_version="1.0")


def test_by_the_unix_socket_any_host_will_do_but_a_page_stays_a_page() -> None:
    assert refused(("Host", "whatever"), names=None) == ""
    assert refused(names=None) == ""
    assert refused(("Host", "whatever"), ("Sec-Fetch-Site", "cross-site"), names=None)


@pytest.mark.parametrize("header", ["Origin", "Referer"])
@pytest.mark.parametrize(
    "value",
    [
        "null",
        "",
        "http://evil.example",
        "https://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:8080",
        "http://localhost:50024",
        "http://user@127.0.0.1:50024",
        "http://127.0.0.1:50024@evil.example",
        "http://127.0.0.1:50024.evil.example",
        "file://127.0.0.1:50024",
        "chrome-extension://127.0.0.1:50024",
        "//127.0.0.1:50024",
        "127.0.0.1:50024",
        "http://[::1",
        "about:blank",
    ],
)
def test_a_page_of_somewhere_else_is_refused(header: str, value: str) -> None:
    assert f"({header})" in refused(*CURL, (header, value))


@pytest.mark.parametrize("header", ["Origin", "Referer"])
@pytest.mark.parametrize("value", ["http://127.0.0.1:50024", "HTTP://127.0.0.1:50024", "https://127.0.0.1:50024"])
def test_what_comes_from_this_very_server_is_answered(header: str, value: str) -> None:
    assert refused(*CURL, (header, value)) == ""


def test_the_path_of_a_referer_does_not_matter_and_a_second_one_counts() -> None:
    assert refused(HOST, ("Referer", "http://127.0.0.1:50024/api/v1/runs?limit=1#x")) == ""
    assert refused(HOST, ("Referer", "http://127.0.0.1:50024/"), ("Referer", "http://evil.example/"))
    assert refused(HOST, ("Origin", "http://127.0.0.1:50024"), ("Origin", "null"))


def test_a_page_is_refused_where_http_1_0_leaves_the_host_out() -> None:
    assert refused(("Origin", "http://127.0.0.1:50024"), http_version="1.0")
    assert refused(("Referer", "http:///deploy"), http_version="1.0")


@pytest.mark.parametrize("value", ["cross-site", "same-site", "none", "", "Same-Origin", "same-origin, cross-site"])
def test_a_browser_that_was_not_sent_by_this_server_is_refused(value: str) -> None:
    assert "(Sec-Fetch-Site)" in refused(*CURL, ("Sec-Fetch-Site", value))


def test_only_same_origin_passes_as_sec_fetch_site() -> None:
    assert refused(*CURL, ("Sec-Fetch-Site", "same-origin")) == ""
    assert refused(*CURL, ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site"))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Sec-Purpose", ""),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
        ("X-Purpose", "preview"),
    ],
)
def test_what_a_browser_fetches_in_advance_is_refused(header: str, value: str) -> None:
    assert "guess" in refused(*CURL, (header, value))
    assert "guess" in refused(*CURL, ("Sec-Fetch-Site", "same-origin"), (header, value))


@pytest.mark.parametrize(
    "header",
    [
        "Access-Control-Request-Method",
        "Access-Control-Request-Headers",
        "Access-Control-Request-Private-Network",
        "Access-Control-Request-Local-Network",
    ],
)
def test_a_preflight_is_refused(header: str) -> None:
    assert "preflight" in refused(*CURL, (header, "POST"))


# A browser sends no fetch metadata where plain HTTP goes to a name that it does not know for loopback ("potentially
# trustworthy" of W3C Secure Contexts), and a page can keep Origin and Referer out of an <img>.
@pytest.mark.parametrize(
    "agent",
    [
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "mozilla/5.0",
    ],
)
def test_a_browser_that_says_nothing_else_is_known_by_its_user_agent(agent: str) -> None:
    names = allowed_names(["127.0.0.1"], ["deploy.example.org"])
    # What a page cannot keep out: the languages of its reader.
    sent = (("Host", "deploy.example.org"), ("User-Agent", agent), ("Accept-Language", ""))
    assert "browser" in refused(*sent, names=names)
    assert refused(*sent, names=names, has_token=True) == ""
    assert refused(HOST, ("User-Agent", agent), ("Sec-Fetch-Site", "same-origin")) == ""


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Accept-Language", "pt-BR,pt;q=0.9"),
        ("Upgrade-Insecure-Requests", "1"),
        ("Cookie", "session=1"),
        ("DNT", "1"),
        ("Sec-GPC", "1"),
        ("Origin", "http://127.0.0.1:50024"),
        ("Referer", "http://127.0.0.1:50024/"),
        ("Sec-CH-UA", '"Chromium";v="140"'),
        ("Sec-Fetch-Mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ],
)
def test_mozilla_with_one_header_that_only_browsers_send_is_refused(header: str, value: str) -> None:
    browser = ("User-Agent", "Mozilla/5.0")
    assert "(User-Agent)" in refused(HOST, browser, (header, value))
    assert "(User-Agent)" in refused(HOST, ("User-Agent", "curl/8"), browser, (header, value))
    assert refused(*CURL, (header, value)) == ""
    # Of itself, as the browser says.
    assert refused(HOST, browser, (header, value), ("Sec-Fetch-Site", "same-origin")) == ""


@pytest.mark.parametrize(
    "headers",
    [
        [("Host", "evil.example")],
        [HOST, HOST],
        [HOST, ("Origin", "null")],
        [HOST, ("Referer", "http://evil.example/")],
        [HOST, ("Sec-Fetch-Site", "none")],
        [HOST, ("Sec-Purpose", "prefetch")],
        [HOST, ("Access-Control-Request-Method", "POST")],
    ],
)
def test_a_token_excuses_only_the_user_agent_of_a_browser(headers: list[tuple[str, str]]) -> None:
    assert refused(*headers, has_token=True)


def test_hosts_and_headers_are_compared_without_regard_to_case() -> None:
    assert refused(("Host", "LocalHost:50024"), ("Origin", "http://localhost:50024")) == ""
    assert refused(("Host", "localhost:50024"), ("Origin", "http://LOCALHOST:50024")) == ""


@pytest.mark.parametrize(
    "headers",
    [
        [("User-Agent", "Mozilla/5.0 (Windows NT; Windows NT 10.0; pt-BR) WindowsPowerShell/5.1.19041.1"), HOST],
        [("User-Agent", "Mozilla/5.0+(compatible; UptimeRobot/2.0)"), ("Accept-Encoding", "gzip, deflate"), HOST],
        [("User-Agent", "Mozilla/5.0 (compatible; StatusCake)"), ("Accept", "*/*"), ("Connection", "close"), HOST],
    ],
)
def test_programs_that_call_themselves_mozilla_are_answered(headers: list[tuple[str, str]]) -> None:
    assert refused(*headers) == ""


@pytest.mark.parametrize("agent", ["curl/7.88.1", "Wget/1.21.3", "GitHub-Hookshot/1a2b3c", "Go-http-client/1.1", ""])
def test_programs_are_answered_whatever_they_call_themselves(agent: str) -> None:
    assert refused(HOST, ("User-Agent", agent)) == ""


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("127.evil.example", False),
        ("128.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
