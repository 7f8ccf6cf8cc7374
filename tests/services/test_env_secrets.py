"""What stands in `.env` comes out as the name of its variable, however it is written, cut, or put together."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError
from hypothesis import given
from hypothesis import strategies as st

from govma_core.engine.client import reason
from govma_core.errors import EngineError, PreflightError
from govma_core.events import Event, LogLine, StageFinished
from govma_core.git import GitFailedError
from govma_core.masking import Mask
from govma_core.reporting import Reporter
from govma_core.services import logs
from govma_core.services.compose import Project, find_project
from govma_core.services.compose_config import Mount, read_config
from govma_core.services.env_secrets import named_mask
from govma_core.services.inspect import ProjectState, read_container, whole_mask
from govma_core.services.logs import batches, last_lines
from govma_core.services.view import _mount, _port
from govma_core.settings import Settings
from govma_core.text.clean import MAX_LINE, clean_lines


@given(st.text(min_size=8, max_size=30).filter(str.strip), st.text(max_size=20), st.text(max_size=20))
def test_a_long_value_is_never_left_however_it_is_written(value: str, before: str, after: str) -> None:
    """Guards against a value in quotes, escaped, doubled dollars, or in the middle of a word."""
    mask = named_mask({"NAME": {value}})
    for form in (value, repr(value), json.dumps(value), value.replace("$", "$$")):
        assert value not in mask(f"{before}{form}{after}").replace("${NAME}", "\0")


def test_short_values_are_masked_where_they_stand_alone_and_names_of_services_never() -> None:
    """Guards the picture from masks that eat it, and short values that are whole answers."""
    mask = named_mask({"PIN": {"4711x"}, "PORT": {"80"}, "HOST": {"redis"}, "FLAG": {"true"}}, {"redis"})
    assert mask("4711x a4711xb a4711x 4711xb 80 redis true") == "${PIN} a4711xb a4711x 4711xb 80 redis true"
    assert (mask.whole("80"), mask.whole("redis"), mask.image("a/b:80")) == ("${PORT}", "redis", "a/b:${PORT}")


def test_errors_leave_without_values_whatever_their_kind() -> None:
    """Guards the sentences: also those of errors that carry more than a text."""
    mask = named_mask({"NAME": {"a secret value"}})
    for error in (PreflightError(["with a secret value"]), GitFailedError("with a secret value", 3)):
        with pytest.raises(type(error), match=r"with \$\{NAME\}") as caught, mask.over_errors():
            raise error
        assert "a secret value" not in f"{caught.value!r} {getattr(caught.value, 'problems', '')}"


@pytest.mark.parametrize(("name", "masked"), [("DB_PASSWORD", "-p${DB_PASSWORD}2"), ("COLOUR", "-phunter2")])
def test_a_short_secret_is_taken_out_of_words_when_its_name_says_that_it_is_one(name: str, masked: str) -> None:
    """Guards `mysql -phunter2`; and the picture from a short value that tells nothing."""
    assert named_mask({name: {"hunter"}})("-phunter2") == masked


def test_a_value_that_was_cut_leaves_nothing_of_it_to_be_read() -> None:
    """Guards lines that are longer than what is kept of them, and the words of an engine: they are cut unmasked."""
    mask = named_mask({"NAME": {"a-secret-value"}, "OTHER": {"secret"}})
    for length in range(4, 15):
        long = "x" * (MAX_LINE - length) + "a-secret-value and more\n"
        assert "a-se" not in mask(clean_lines(long.encode())[0])
        assert "a-se" not in mask(f"Docker could not: {reason(APIError('y' * (400 - length) + 'a-secret-value' * 9))}.")
    assert mask("nothing of it … (3 more)") == "nothing of it … (3 more)"


def test_what_a_reporter_tells_is_masked_by_both_kinds_of_mask() -> None:
    """Guards the log of a restart: values of `.env` by their names, those of the site's env file as everywhere."""
    events: list[Event] = []
    reporter = Reporter(events.append, mask=named_mask({"NAME": {"value-of-env"}}).beside(Mask(["of-the-site"])))
    reporter.hide(["API_TOKEN=of-a-container"])
    reporter.output("value-of-env of-the-site", "of-a-container")
    reporter.info("value-of-env")
    with reporter.stage("x") as remark:
        remark.note("value-of-env")
    assert [event.text for event in events if isinstance(event, LogLine)] == ["${NAME} ***", "***", "${NAME}"]
    assert [event.remark for event in events if isinstance(event, StageFinished)] == ["${NAME}"]


def test_two_masks_know_together_what_each_of_them_knows() -> None:
    """Guards `beside`: a value that is hidden in words by one of them is so by both, and short ones stay known."""
    anywhere, alone = named_mask({"A_KEY": {"hunter"}, "PORT": {"80"}}), named_mask({"B": {"hunter"}, "TO": {"81"}})
    for mask, label in ((anywhere.beside(alone), "${B}"), (alone.beside(anywhere), "${A_KEY}")):
        assert mask("-phunter2 hunter") == f"-p{label}2 {label}"
        assert (mask.whole("80"), mask.whole("81"), mask.whole("x-hunter")) == ("${PORT}", "${TO}", f"x-{label}")
    assert alone.beside(Mask(["other-value"]))("-phunter2 hunter") == "-phunter2 ${B}"
    assert named_mask({"IMAGE": {"registry/app"}, "TAG": {"9"}}).image("registry/app:9") == "${IMAGE}:${TAG}"


def _project(directory: Path, env: str, text: str) -> Project:
    (directory / "docker-compose.yml").write_text(text)
    (directory / ".env").write_text(env)
    return find_project(Settings(services_compose_dir=directory))


def _state(name: str, environment: dict[str, str]) -> ProjectState:
    raw: dict[str, Any] = {"Id": "1", "Name": f"/{name}", "Image": "sha256:1", "State": {"Status": "running"}}
    labels = {"Labels": {"com.docker.compose.service": "web"}}
    return ProjectState((read_container(raw | {"Config": labels, "HostConfig": {}}),), {}, {}, (environment,))


@pytest.mark.parametrize("before", ["mysql://shop:old pass@db/x", "mysql://old-user:old pass@db/x"])
def test_a_password_of_before_is_masked_though_it_stood_in_another_value_only(tmp_path: Path, before: str) -> None:
    """Guards the logs of a container that runs on with what `.env` had before."""
    env = "DB_USER=shop\nDB_PASSWORD=new-pass\n"
    project = _project(tmp_path, env, "services: {}\n")
    config = read_config(
        project, "services:\n  web:\n    image: x\n    environment: [URL=mysql://shop:new-pass@db/x]\n"
    )
    mask = whole_mask(project, config, _state("p_web_1", {"URL": before, "OTHER": "shown"}))
    assert mask("login with old pass failed, shown") == "login with ${DB_PASSWORD} failed, shown"


def test_the_name_of_a_container_is_shown_unless_it_is_a_value(tmp_path: Path) -> None:
    """Guards `container_name: ${NAME}`, and the picture from a mask of names that compose makes."""
    text = "name: site\nservices: {web: {image: x, container_name: 'fixed-web'}}\n"
    project = _project(tmp_path, "NAME=customer-web\nHOST=site_web_1\nFIXED=fixed-web\n", text)
    for name, masked in (("customer-web", "${NAME}"), ("site_web_1", "site_web_1"), ("fixed-web", "fixed-web")):
        assert whole_mask(project, None, _state(name, {})).whole(name) == masked


def test_where_something_is_mounted_and_the_port_inside_may_be_values_too() -> None:
    mask = named_mask({"TARGET": {"/data/customer"}, "INSIDE": {"91"}})
    assert _mount(Mount("/data/customer", "data", "volume"), Settings(), mask) == "${TARGET}: volume"
    assert [_port(("", "8080", inside), None, mask, {"8080", "80"}) for inside in ("91/tcp", "80/udp")] == [
        "8080->${INSIDE}/tcp",
        "8080->80/udp",
    ]


class _Engine:
    """An engine with one long output, which it gives piece by piece."""

    def __init__(self, pieces: int) -> None:
        self.given, self.asked = 0, dict[str, Any]()
        self.hooks: dict[str, list[Any]] = {"response": []}
        self.api, self._pieces, self.breaks = self, pieces, False

    def logs(self, _: str, **asked: Any) -> Any:
        self.asked = asked

        def pieces() -> Any:
            for number in range(self._pieces):
                self.given += 1
                yield f"secret-value {number}\n".encode()
            if self.breaks:
                raise ConnectionError("gone")

        return pieces()


def test_the_output_of_a_container_is_passed_on_as_it_comes_however_much_is_asked_for() -> None:
    """Guards against half of what was asked for, and against holding all of it."""
    engine = _Engine(1000)
    client: Any = engine
    output = batches(client, "x", named_mask({"A": {"secret-value"}}), lines=10**9, follow=False)
    assert (next(output), engine.given) == (["${A} 0"], 1)
    assert engine.asked == {"stream": True, "follow": False, "tail": 10**9}
    assert sum(len(batch) for batch in output) == 999
    # Half of it is not passed off as all.
    engine.breaks = True
    with pytest.raises(EngineError, match="could not read the output of a container: gone"):
        last_lines(client, "x", 3, named_mask({}))


def test_the_end_of_an_output_is_no_request_of_the_caller_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the panel's line that an output ends: it is not written where the caller has stopped following."""
    _project(tmp_path, "", "services: {}\n")
    monkeypatch.setattr(logs, "connected", lambda **_: nullcontext(_Engine(3)))
    monkeypatch.setattr(logs, "_container", lambda *_: ("x", named_mask({})))
    stop = threading.Event()
    settings = Settings(services_compose_dir=tmp_path)
    with logs.service_log(settings, "web", 9, follow=True, until=stop) as output:
        assert sum(map(len, output)) == 3
    assert not stop.is_set()
