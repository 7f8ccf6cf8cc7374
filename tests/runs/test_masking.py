"""What stands in the env file is in no log: which values are hidden, in which forms, and what that costs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

import pytest

from govma_core.building.build_script import BuildLog
from govma_core.errors import PreflightError
from govma_core.events import Event, LogLine
from govma_core.masking import Mask, mask_of
from govma_core.reporting import Reporter
from tests.support.builds import job_of
from tests.support.rights import as_root

ENV = """\
# a comment that says password
APP_ENV=production
APP_DEBUG=0
DB_HOSTNAME=db
DB_DATABASE=portal
DB_PASSWORD="correct horse" # of the battery
export API_TOKEN='t0k3n-0123456789'
DB_USERNAME: gov_ma
SESSION_SECRET=abcdef
DATABASE_URL=mysql://root:hunter2@db/portal
VERSIONS_PASSWORD=www_versions
QUOTED="with \\"quotes\\" in it"
UPLOAD_DIR=/srv/uploads
PRIVATE_KEY="-----BEGIN KEY-----
TUlJRXZRSUJBREFOQmdr
bGFzdGxpbmU==
  aW5kZW50ZWQ==
-----END KEY-----"
HARD_KEY="one # two" # three
COLOUR=#ff0000
COLOUR_KEY=#ff0001
SHORT_KEY=12345
DB_PORT=33060123
DB_NUMBER=330601234
DB_CHARSET=utf8mb4
SOCKET_URL=redis://:no-use@cache
LONG_URL=pgsql://gov:pa/ss-1@db
SHORT_URL=pgsql://gov:short@db
FOLDER_URL=pgsql://gov:home/app@db
  INDENTED_TOKEN=hunter-indented
HASH_KEY=mid #dle
COMMENT_KEY=hunter-two # is old
NOT_CLOSED='it is
BEHIND_TOKEN=hunter-behind-it
"""


@pytest.fixture
def mask(tmp_path: Path) -> Mask:
    path = tmp_path / "env"
    path.write_text(ENV)
    return mask_of(path, ["/srv/uploads/portal", "/home/app/www_versions"])


@pytest.mark.parametrize(
    "secret",
    [
        "correct horse",
        "t0k3n-0123456789",
        "gov_ma",
        "abcdef",
        "mysql://root:hunter2@db/portal",
        "hunter2",
        "www_versions",
        'with "quotes" in it',
        'with \\"quotes\\" in it',
        "TUlJRXZRSUJBREFOQmdr",
        # Lines of a key that read as assignments.
        "bGFzdGxpbmU==",
        "aW5kZW50ZWQ==",
        "-----BEGIN KEY-----",
        "-----END KEY-----",
        "hunter-behind-it",
        "#ff0001",
        "330601234",
        "no-use",
        "pa/ss-1",
        "home/app",
        "hunter-indented",
        "mid #dle",
        "hunter-two",
        "one # two",
    ],
)
def test_a_value_is_hidden_wherever_it_stands(mask: Mask, secret: str) -> None:
    assert mask(f"before{secret}after") == "before***after"
    assert mask.lines(["one", f"<{secret}>", "three"]) == ["one", "<***>", "three"]


@pytest.mark.parametrize(
    "word",
    [
        *("production", "portal", "db", "0", "/srv/uploads", "password", "comment", "# a comment that says password"),
        *("COLOUR=#ff0000", "12345", "33060123", "utf8mb4", "short"),
    ],
)
def test_words_and_what_is_public_stay(mask: Mask, word: str) -> None:
    assert mask(f"npm run {word}") == f"npm run {word}"


_NAMES = "PASS PASSWD DB_PWD SECRET_1 my_token API_KEY SALT CREDENTIALS BASIC_AUTH PRIVATE SENTRY_DSN SIGNING"


@pytest.mark.parametrize("name", _NAMES.split())
def test_a_word_is_hidden_when_its_name_speaks_of_a_secret(tmp_path: Path, name: str) -> None:
    path = tmp_path / "env"
    path.write_text(f"{name}=carnaval\nTOWN=caxias\n")
    assert mask_of(path, ["/srv/carnaval"])("carnaval in caxias") == "*** in caxias"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_secrets_of_which_one_begins_the_other_nothing_is_left(order: int) -> None:
    short, long = "abc12345", "abc12345xyz-more"
    for mask in (Mask([short, long][::order]), Mask([short]).beside(Mask([long])), Mask([long]).beside(Mask([short]))):
        assert mask(f"{long} {short} {long}{short}{long}") == "*** *** *********"
        assert mask.lines([f"{short}.", f"<{long}>"]) == ["***.", "<***>"]
        # Cut anywhere, and so behind the shorter one, too.
        assert [mask(f"x {long[:cut]}…") for cut in range(4, len(long) + 1)] == ["x ***…"] * (len(long) - 3)


def test_a_secret_whose_end_begins_another_one_is_hidden_whole_where_the_text_was_cut() -> None:
    assert Mask(["abcd1234", "1234wxyz"])("x abcd1234…") == "x ***…"
    url, host = "smtp://u:s3cr@mail.example.org", "mail.example.org:587"
    assert Mask([url, host])(f"to {url}… again {url} of {host}") == "to ***… again *** of ***"


def test_a_text_is_looked_at_where_it_was_cut_and_the_rest_of_it_stays() -> None:
    mask = Mask(["abcdefgh", "defgxyz1", "aaaab123", "senhaç-longa", "with…inside"])
    assert mask("see abcdefg … (3 more) abcdefg") == "see *** … (3 more) abcdefg"
    # A sign that was cut in two, and a beginning that begins twice.
    assert mask("senha\ufffd …") == "***\ufffd …"
    assert mask("aaaaaab…") == "aa***…"
    assert mask("with…inside, abc…") == "***, abc…"


def test_each_problem_of_an_error_is_masked(mask: Mask) -> None:
    with pytest.raises(PreflightError) as caught, mask.over_errors():
        raise PreflightError(["no t0k3n-0123456789", "hunter2 is odd"])
    assert caught.value.problems == ("no ***", "*** is odd")
    assert str(caught.value) == "no ***\n*** is odd"


def test_what_an_environment_adds_are_its_secrets_only() -> None:
    mask = Mask(["of-the-site"]).also(["TOKEN=abc123", "SHORT_TOKEN=abc12", "HOME=/srv/home", "odd", "API_KEY=k=1=2=3"])
    assert mask("of-the-site abc123 abc12 /srv/home k=1=2=3") == "*** *** abc12 /srv/home ***"


def test_no_file_hides_nothing(tmp_path: Path) -> None:
    assert mask_of(tmp_path / "none")("anything at all") == "anything at all"


@as_root
@pytest.mark.root
def test_a_link_that_is_not_installed_hides_what_it_leads_to(tmp_path: Path) -> None:
    """Guards the runs that install nothing, such as a promotion: its hooks read the file by way of the link."""
    (tmp_path / "real").write_text(ENV)
    (tmp_path / "env").symlink_to("real")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "odd").symlink_to("fifo")
    for name in ("env", "odd"):
        os.chown(tmp_path / name, 54321, 54321, follow_symlinks=False)
    assert mask_of(tmp_path / "env")("<t0k3n-0123456789>") == "<***>"
    assert mask_of(tmp_path / "odd")("anything at all") == "anything at all"


def test_output_warnings_and_errors_are_masked(mask: Mask) -> None:
    events: list[Event] = []
    reporter = Reporter(events.append, mask=mask)
    reporter.output("a", "the token is t0k3n-0123456789")
    reporter.warning("gov_ma is odd\nt0k3n-0123456789")
    reporter.error("mysql://root:hunter2@db/portal does not answer")
    text = "\n".join(event.text for event in events if isinstance(event, LogLine))
    assert text.count("***") == 4
    assert not any(secret in text for secret in ("t0k3n", "hunter2", "gov_ma"))


def test_a_secret_is_hidden_however_the_output_comes_in_pieces(mask: Mask) -> None:
    """Guards the log of a build, which is followed while it is written: a piece ends anywhere."""
    output = "first t0k3n-0123456789 ç\nthe password is correct horse\nno end t0k3n-0123456789".encode()
    for at in range(len(output)):
        events: list[Event] = []
        log = BuildLog(job_of("true"), Reporter(events.append, mask=mask))
        for piece in (output[:at], output[at:]):
            log.feed(piece)
        log.close()
        lines = [event.text for event in events if isinstance(event, LogLine)]
        assert lines == ["first *** ç", "the password is ***", "no end ***"], at


def test_secrets_are_looked_for_once_in_a_block_of_output_and_not_in_each_of_its_lines(tmp_path: Path) -> None:
    """Guards long logs, counted in calls: what time they take is the machine's."""
    path = tmp_path / "env"
    path.write_text("".join(f"SECRET_{number}=value-{number}-{number * 7919}\n" for number in range(40)))
    block = b"".join(b"asset %d of webpack compiled into portal.css in 12 ms\n" % number for number in range(1000))

    def calls(mask: Mask) -> int:
        reporter = Reporter(lambda event: None, emit_output=lambda at, lines: None, mask=mask)
        log = BuildLog(job_of("true"), reporter)
        count = 0

        def on_call(frame: FrameType, event: str, argument: object) -> None:
            nonlocal count
            count += event.endswith("call")

        before = sys.getprofile()
        sys.setprofile(on_call)
        try:
            log.feed(block)
        finally:
            sys.setprofile(before)
        return count

    masked, plain = calls(mask_of(path)), calls(Mask())
    print(f"1,000 lines: {plain} calls, with 40 secrets {masked}")
    assert masked - plain < 100
