"""The builder image, made by `docker build` from the folder of the deployed commit; its output goes into the log."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from govma_core.engine.program import ending_with_us, on_our_engine
from govma_core.errors import BuildError
from govma_core.process.shell import running
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import tr

_LONGEST = 400
_LAST_LINES = 20
# The classic builder of an engine 23 and later carries these out as if they were not there, and succeeds.
_IGNORED = re.compile(
    r"Step \d+/\d+ : (?:ADD .*?(--checksum|--keep-git-dir)|"
    r"""(?:RUN|COPY|ADD)\s+(?:[^"'(]*\s)?(\d*<<-?["']?[A-Za-z_]\w*))"""
)
_COMMAND = re.compile("returned a non-zero code|did not complete successfully|executor failed running")
_REGISTRY = re.compile(
    "dial tcp|i/o timeout|TLS|x509|failed to (?:resolve|do request|authorize)|pull access|manifest|unauthorized|"
    "credentials|toomanyrequests|no basic auth|registry"
)


def make_image(settings: Settings, folder: Path, reporter: Reporter) -> None:
    """Make the image `builder_image` from a folder with a Dockerfile, within build_timeout seconds.

    It carries no label of ours: containers that people start of it would inherit that, and pass for leftovers.
    BuildError when it cannot be made; RunCancelled when the run is to stop. The build has ended in either case.
    """
    source = settings.builder_context
    tail: deque[str] = deque(maxlen=_LAST_LINES)

    def look(line: str) -> None:
        if line.strip():
            tail.append(line.strip())
        if ignored := _IGNORED.match(line):
            raise BuildError(
                "The builder image cannot be made from {source}: Docker's classic builder ignores {what} in its "
                "Dockerfile. {advice}",
                source=source,
                what=ignored[1] or ignored[2],
                advice=_buildkit(),
            )

    # Without --force-rm the classic builder leaves the container of a step that fails.
    line = ending_with_us(["docker", "build", "--force-rm", "--tag", settings.builder_image, "."])
    try:
        with running(line, folder, on_our_engine(), {}, reporter.cancellation) as process:
            process.pass_on(reporter, settings.build_timeout, look)
    except TimeoutError:
        raise BuildError(
            "The builder image was not made from {source} within {build_timeout} s (build_timeout).",
            source=source,
            build_timeout=settings.build_timeout,
        ) from None
    if process.code:
        error = _error(tail)
        raise BuildError(
            "The builder image could not be made from {source}: {error}.{advice}",
            source=source,
            error=reporter.mask(error),
            advice=_advice(error, tail),
        )


def _error(tail: Sequence[str]) -> str:
    """Return what `docker build` said last: from its last `ERROR:` on, else the last line."""
    begins = [number for number, line in enumerate(tail) if line.startswith("ERROR: ")]
    words = " ".join(list(tail)[begins[-1] if begins else -1 :]).removeprefix("ERROR: ")
    return clean_line(words)[:_LONGEST].rstrip(".") or tr("it said nothing")


def _advice(error: str, tail: Sequence[str]) -> str:
    """Return what one can do, where the error tells more than that a command of the Dockerfile failed."""
    advice = ""
    if any("no space left on device" in line.lower() for line in tail):
        advice = tr("Docker's disk is full: `docker system df` shows of what.")
    elif _COMMAND.search(error):
        pass
    elif "requires BuildKit" in error:
        advice = _buildkit()
    elif _REGISTRY.search(error):
        advice = tr(
            "Look whether the base image is on this machine, or its registry can be reached and knows this user "
            "(docker login)."
        )
    return advice and f" {advice}"


def _buildkit() -> str:
    return tr(
        "Have `docker build` use BuildKit: apt-get install docker-buildx; on Debian 12, "
        '"features": {"buildkit": true} in /etc/docker/daemon.json.'
    )
