"""What stands in the env file is in no log: which values are hidden, in which forms, and what that costs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from govma_core.building.build_script import BuildLog, BuildScript
from govma_core.events import Event, LogLine
from govma_core.masking import Mask, mask_of
from govma_core.reporting import Reporter
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
-----END KEY-----"
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
    ],
)
def test_a_value_is_hidden_wherever_it_stands(mask: Mask, secret: str) -> None:
    assert mask(f"before{secret}after") == "before***after"
    assert mask.lines(["one", f"<{secret}>", "three"]) == ["one", "<***>", "three"]


@pytest.mark.parametrize("word", ["production", "portal", "db", "0", "/srv/uploads", "password", "comment"])
def test_words_and_what_is_public_stay(mask: Mask, word: str) -> None:
    assert mask(f"npm run {word}") == f"npm run {word}"


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


def test_a_long_log_is_not_slowed_down(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("".join(f"SECRET_{number}=value-{number}-{number * 7919}\n" for number in range(40)))
    block = b"".join(b"asset %d of webpack compiled into portal.css in 12 ms\n" % number for number in range(1000))

    def seconds(mask: Mask) -> float:
        log = BuildLog(
            BuildScript(["true"]), Reporter(lambda event: None, emit_output=lambda at, lines: None, mask=mask)
        )
        began = time.process_time()
        for _ in range(100):
            log.feed(block)
        return time.process_time() - began

    plain, masked = (min(seconds(mask) for _ in range(3)) for mask in (Mask(), mask_of(path)))
    # 100,000 lines; one percent of what is written for them elsewhere is far less than this.
    assert masked - plain < 0.5, (plain, masked)
    print(f"100,000 lines: {plain:.3f} s, with 40 secrets {masked:.3f} s")
