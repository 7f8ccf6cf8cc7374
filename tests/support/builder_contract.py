"""What every builder must do, as tests; test_docker_builder.py and test_local_builder.py run them with theirs."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import suppress

import pytest

from govma_core.errors import BuildError, RunCancelled
from govma_core.events import Event
from govma_core.reporting import Reporter
from govma_core.text.clean import MAX_LINE
from tests.support.builds import Place

MIB = 1 << 20


class BuilderContract:
    """Inherited by the test class of each builder, which has a fixture `place`."""

    def test_a_build_runs_its_commands_in_order(self, place: Place) -> None:
        place.build("echo one > made; cat made", "echo two >&2; echo three; echo four >&2", "pwd > where; cat made")
        assert place.lines("info", "output") == [
            "$ echo one > made; cat made",
            "one",
            "$ echo two >&2; echo three; echo four >&2",
            "two",
            "three",
            "four",
            "$ pwd > where; cat made",
            "one",
        ]
        assert (place.work / "where").exists()

    def test_files_are_made_by_the_build_user_and_readable(self, place: Place) -> None:
        place.build("touch made; mkdir directory")
        file, directory = (place.work / "made").stat(), (place.work / "directory").stat()
        expected = place.settings.build_owner if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        assert (file.st_uid, file.st_gid) == expected
        assert (file.st_mode & 0o777, directory.st_mode & 0o777) == (0o644, 0o755)

    @pytest.mark.parametrize("failing", [1, 2, 3])
    def test_a_failing_command_is_named_and_is_the_last(self, place: Place, failing: int) -> None:
        commands = [f"echo begin {number}" for number in (1, 2, 3)]
        commands[failing - 1] += "; exit_with() { return $1; }; exit_with 7"
        with pytest.raises(BuildError, match=rf"the step step-{failing}, `echo begin {failing};.*exit code 7"):
            place.build(*commands)
        assert place.lines() == [f"begin {number}" for number in range(1, failing + 1)]

    def test_a_syntax_error_belongs_to_its_command(self, place: Place) -> None:
        with pytest.raises(BuildError, match=r"the step step-2, `if`, ended with exit code 2"):
            place.build("echo fine", "if", "echo never")
        assert place.lines()[0] == "fine"
        assert "never" not in place.lines()

    def test_a_command_that_is_not_there_is_told(self, place: Place) -> None:
        with pytest.raises(BuildError, match="exit code 127"):
            place.build("no-such-program --now")
        assert "no-such-program" in place.lines()[0]

    def test_a_command_killed_by_a_signal_is_told_so(self, place: Place) -> None:
        with pytest.raises(
            BuildError, match=r"the step step-1, .* was killed \(exit code 137, SIGKILL\).* Docker was stopped"
        ):
            place.build("sh -c 'kill -9 $$'")

    def test_a_build_that_takes_too_long_is_stopped(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        place.times_out_when(lambda: "slow" in place.lines(), monkeypatch)
        with pytest.raises(BuildError, match=r"within 60 s \(build_timeout\).*step-2, `echo slow; sleep 1000`"):
            place.build("echo quick", "echo slow; sleep 1000")
        assert place.lines() == ["quick", "slow"]

    def test_output_that_never_pauses_does_not_outrun_the_limit(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.times_out_when((place.work / "begun").exists, monkeypatch)
        place.events = Discarded()
        with pytest.raises(BuildError, match="build_timeout"):
            place.build("touch begun; yes")

    def test_a_build_that_closed_its_output_is_waited_for(self, place: Place) -> None:
        with pytest.raises(BuildError, match="exit code 5"):
            place.build("echo last words; exec >&- 2>&-; sleep 1; touch done; exit 5")
        assert (place.work / "done").exists()

    def test_a_silent_build_that_closed_its_output_is_stopped_in_time(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.times_out_when((place.work / "closed").exists, monkeypatch)
        with pytest.raises(BuildError, match="build_timeout"):
            place.build("exec >&- 2>&-; touch closed; sleep 1000")

    def test_a_cancel_from_another_thread_ends_it(self, place: Place) -> None:
        def cancel() -> None:
            # It raises in whoever asks while the build waits; here that is nobody's concern.
            with suppress(RunCancelled):
                place.cancellation.request()

        thread = place.when("waiting", cancel)
        with pytest.raises(RunCancelled):
            place.build("echo waiting; sleep 1000")
        thread.join()

    def test_a_signal_ends_it_at_once(self, place: Place) -> None:
        with place.cancelled_by_signal("waiting"), pytest.raises(RunCancelled):
            place.build("echo waiting; sleep 1000")

    def test_two_hundred_thousand_lines_pass_in_little_memory(self, place: Place) -> None:
        counted = Counted()
        assert peak_of(place, counted, "yes 'a line of the build, and some more words' | head -n 200000") < 4 * MIB
        assert counted.lines == 200_000
        assert counted.last == "a line of the build, and some more words"

    def test_a_line_of_ten_megabytes_is_cut(self, place: Place) -> None:
        counted = Counted()
        command = "head -c 10485760 /dev/zero | tr '\\0' x; echo; echo after"
        assert peak_of(place, counted, command) < 4 * MIB
        assert counted.lines == 2
        assert MAX_LINE < counted.longest < MAX_LINE + 100
        assert counted.last == "after"

    def test_invalid_utf8_and_control_sequences_come_out_harmless(self, place: Place) -> None:
        place.build(
            r"printf 'caf\351 \377\n'; printf '\033[31mred\033[0m\n'; printf '\033]0;title\007after\n'; "
            r"printf '10 %%\r100 %%\n'; printf 'nul\000 bell\007\n'"
        )
        assert place.lines() == ["caf\ufffd \ufffd", "red", "after", "100 %", "nul bell"]

    def test_blank_lines_and_missing_line_ends_stay_as_they_are(self, place: Place) -> None:
        place.build("printf 'no end'", "echo; echo; echo text; echo", "printf 'last'")
        assert place.lines() == ["no end", "", "", "text", "", "last"]

    def test_the_build_does_not_see_our_environment(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SECRET_OF_THE_RUNNER", "hush")
        place.build("env")
        assert "hush" not in "\n".join(place.lines())
        assert any(line.startswith("HOME=/") for line in place.lines())


class Discarded(list[Event]):
    """Takes events and keeps none."""

    def append(self, event: Event) -> None:
        return


class Counted:
    """Counts the lines of output and keeps the last one."""

    def __init__(self) -> None:
        self.lines = self.longest = 0
        self.last = ""


class CountingReporter(Reporter):
    """Counts instead of making events, so that what is measured is the builder."""

    def __init__(self, counted: Counted) -> None:
        super().__init__(lambda event: None)
        self._counted = counted

    def output(self, *lines: str) -> None:
        self._counted.lines += len(lines)
        self._counted.longest = max(self._counted.longest, *map(len, lines))
        self._counted.last = lines[-1]


def peak_of(place: Place, counted: Counted, command: str) -> int:
    """Return the most bytes that Python held at once beyond what it held before, while building."""
    place.build("true")
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        place.build_with(CountingReporter(counted), command)
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
