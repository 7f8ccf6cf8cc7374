"""What checks send: values of the env file whole or not at all, and hidden in whatever is said of a page."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from govma_core.context import Context
from govma_core.promotion import activation
from govma_core.promotion.page_checks import look
from govma_core.promotion.request_headers import headers_of, with_secrets
from govma_core.promotion.web_page import Address
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.settings.validate import PageCheck
from tests.support.handlers import QuietHandler, serving


def check_with(value: str, *, status: int = 200, host: str = "") -> PageCheck:
    return PageCheck(path="/", request_headers=(("X-Value", value),), status=status, host=host)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('A="abc #def ghi"', "abc #def ghi"),
        ("export A = 'abc #def' # ghi", "abc #def"),
        ("A=abc#def # ghi", "abc#def"),
        ("A=former\nA='pa$$word1'", "pa$$word1"),
        ("A='a\"bcdefg'", 'a"bcdefg'),
        ('A="a\\"b\\\\c\\$d\\n"', 'a"b\\c$d\\n'),
        ('B="\nA=of-b-itself\n"\nA=of-a-itself\n#A=former', "of-a-itself"),
    ],
)
def test_a_value_is_sent_whole_and_hidden(tmp_path: Path, line: str, value: str) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(line)
    checks, problems, mask = with_secrets([check_with("<$A>")], env_file)
    assert (problems, checks[0].request_headers) == ([], (("X-Value", f"<{value}>"),))
    assert mask(f"sent {value}.") == "sent ***."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "has no value for A, .* Add a line that begins with A="),
        ("A= # nothing", "has no value for A,"),
        ('A="first of\nthree\nlines"', "more than one line"),
        ('A="never ends', "quotes do not end with it"),
        ("A='ends' early", "quotes do not end with it"),
        ("A=first\x0bsecond", "control character"),
        ("A=12345", "of fewer than 6 characters"),
        (f"A={base64.b64encode(b'editor:cats').decode()}", "or a password in it, of fewer than 6 characters"),
    ],
)
def test_a_check_is_not_sent_without_its_value(tmp_path: Path, line: str, said: str) -> None:
    env_file = tmp_path / "env"
    env_file.write_text(f"{line}\nC=complete\n")
    others = [PageCheck(path="/other"), check_with("$C")]
    checks, problems, mask = with_secrets([check_with("$A $C"), *others], env_file)
    assert list(checks) == [others[0], check_with("complete")]
    assert [bool(re.search(said, problem)) for problem in problems] == [True]
    assert mask("complete") == "***"


def test_a_secret_that_was_sent_is_not_quoted_of_a_page(tmp_path: Path) -> None:
    class Echo(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            received = [self.headers.get_all(name) for name in ("Accept", "X-Price", "Authorization")]
            login = base64.b64decode(self.headers["Authorization"].split()[1])
            self.wfile.write(f"<b>Fatal error</b>: login({received}) {login!r}, editors".encode("latin-1"))

    env_file = tmp_path / "env"
    env_file.write_text("SITE_AUTH='ZWRpdG9yOnRlbi1jYXRz' # of the portal\n")
    headers = (("accept", "text/html"), ("X-Price", "5 $$ é"), ("Authorization", "Basic $SITE_AUTH"))
    checks, problems, mask = with_secrets([PageCheck(path="/", request_headers=headers)], env_file)
    with serving(Echo) as port:
        finding = look(Address("127.0.0.1", port), checks[0], mask)
    assert problems == []
    assert finding is not None
    assert "login([['text/html'], ['5 $ é'], ['Basic ***']]) b'***:***', editors" in finding.problem


def test_the_proof_sends_what_the_site_itself_needs() -> None:
    checks = [PageCheck(path="/"), check_with("a", status=401), check_with("b", host="other"), check_with("c")]
    assert headers_of(checks) == (("X-Value", "c"),)
    assert headers_of(checks[:3]) == ()


def test_an_activation_sends_only_checks_that_have_their_values(tmp_path: Path) -> None:
    received: list[str] = []

    class Site(QuietHandler):
        def do_GET(self) -> None:
            received.append(self.headers["X-Value"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"this is v1")

    env_file = tmp_path / "env"
    env_file.write_text('A="good #value"\nB=bad\n')
    reporter = Reporter(lambda event: None)
    with serving(Site) as port:
        settings = Settings(
            env_file=env_file,
            activation_url=f"http://127.0.0.1:{port}",
            activation_proof_path="/",
            activation_checks=(check_with("$B"), check_with("$A")),
        )
        with activation.prepare(Context.for_reading(settings, reporter), "v2", "v1", {}) as prepared:
            served = prepared.serve("v1", 0.0)
    assert set(received) == {"good #value"}
    assert reporter.mask("good #value") == "***"
    assert (prepared.before, prepared.checks) == ("v1", (check_with("good #value"),))
    assert "a value for B" in served.unproved
