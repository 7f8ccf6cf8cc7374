"""Builds in a throwaway container, as the repository's builder folder describes it."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from govma_core.building import node_modules
from govma_core.building.build_script import BuildJob, BuildLog
from govma_core.building.builder_image import make_image
from govma_core.engine.client import connected, failures, not_found, reason, streaming, told_as
from govma_core.engine.throwaway import labels, mount, remove_leftovers, throwaway
from govma_core.errors import BuildError, EngineError
from govma_core.process.shell import CHUNK, TICK
from govma_core.reporting import Cancellation, Reporter
from govma_core.settings import Settings
from govma_core.text.language import tr

if TYPE_CHECKING:
    from docker.models.containers import Container

_QUICK = 5
_MOST_PROCESSES = 4096
"""Threads count. A build needs some dozens; one that multiplies without end does not exhaust those of the machine."""
_FRAME_HEADER = 8
"""Bytes before each piece of output: the stream's number, three zero bytes, and the length of the piece."""
_HOME = '[ -w "${HOME:-/}" ] || export HOME=/tmp'
"""Docker takes HOME from the image's passwd; a user who is not in there would have `/`."""


class DockerBuilder:
    """Runs the build commands in a container of the builder image, as build_uid, and removes it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._image = settings.builder_image

    def preflight(self) -> list[str]:
        """Return a sentence when the engine does not answer within seconds, and when its program is missing."""
        problems = []
        if shutil.which("docker") is None:
            problems.append(
                tr(
                    "The program docker, which makes the builder image, is not installed (Debian 13: apt-get install "
                    "docker-cli; of Docker's own packages: docker-ce-cli)."
                )
            )
        try:
            with connected(_QUICK) as client, told_as("answer"):
                client.ping()
        except EngineError as error:
            problems.append(str(error))
        return problems

    def remove_leftovers(self, reporter: Reporter) -> None:
        """Kill and remove every container that carries this site's label."""
        remove_leftovers(self._settings.versions_dir, reporter)

    def prepare(self, folder: Path | None, reporter: Reporter) -> str:
        """Build the builder image from the folder, or take the one that is there; give its id."""
        tag = self._settings.builder_image
        with connected() as client:
            if folder is not None:
                make_image(self._settings, folder, reporter)
            with told_as(tr("find the image {tag}", tag=tag)), suppress(not_found()):
                # Another site, or deploy.sh, may give its name to another image meanwhile.
                self._image = str(client.images.get(tag).id)
                return self._image
            raise BuildError(
                "The commit has no {builder_context} to make the builder image from, and Docker has no "
                "image {tag} (builder_image). Add the folder with its Dockerfile, or name an image "
                "that is there.",
                builder_context=self._settings.builder_context,
                tag=tag,
            )

    def prepare_modules(self, reporter: Reporter) -> None:
        """Have node_modules, in the hands of the build's user."""
        settings = self._settings
        node_modules.move_foreign_away(settings.node_modules_dir, settings.build_uid, reporter)
        node_modules.ensure(settings.node_modules_dir, settings.build_owner)

    def build(self, job: BuildJob, reporter: Reporter) -> None:
        """Run a step; BuildError when it fails, and how."""
        settings = self._settings
        log = BuildLog(job, reporter)
        with (
            connected() as client,
            throwaway(
                client,
                reporter,
                self._image,
                command=["sh", "-c", job.script(_HOME)],
                **self._options(job),
            ) as container,
            streaming(client),
        ):
            attachment = Attachment(container, reporter.cancellation, log)
            with told_as(tr("start the build's container")):
                container.start()
            log.follow(attachment.receive, settings.build_timeout)
        state = attachment.state
        limit = settings.build_memory or tr("that of the engine")
        advice = tr("The container's limit is {limit} (build_memory); give it more.", limit=limit)
        log.judge(int(state["ExitCode"]), advice if state["OOMKilled"] else "")

    def _options(self, job: BuildJob) -> dict[str, Any]:
        settings = self._settings
        options: dict[str, Any] = {
            "name": f"govma-build-{job.run_id}-{job.name}",
            "labels": labels(settings.versions_dir, job.run_id),
            "user": f"{settings.build_uid}:{settings.build_gid}",
            "working_dir": "/src",
            "mounts": [
                mount("/src", str(job.tree), writable=True),
                mount("/src/node_modules", str(settings.node_modules_dir), writable=True),
            ],
            # The output is read as it comes; a copy in Docker's own log could fill the disk.
            "log_config": {"type": "none"},
            # With userns-remap the build's user would be another one, who may not write the mounts.
            "userns_mode": "host",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "pids_limit": _MOST_PROCESSES,
        }
        if settings.build_memory:
            # Without the second one as much again could be taken from the swap.
            options |= {"mem_limit": settings.build_memory, "memswap_limit": settings.build_memory}
        if settings.build_cpus:
            options["nano_cpus"] = int(settings.build_cpus * 1e9)
        return options


class Attachment:
    """Receives what a container prints, from its very start; to be made before the container is started."""

    def __init__(self, container: Container, cancellation: Cancellation, log: BuildLog) -> None:
        self._container = container
        self._cancellation = cancellation
        self._log = log
        with told_as(tr("attach to the build's container")):
            stream: Any = container.attach_socket(params={"stdout": 1, "stderr": 1, "stream": 1})
        # The SDK gives a SocketIO, which cannot be read again after a time-out; the socket below it can.
        self._socket: Any = getattr(stream, "_sock", stream)
        self._socket.settimeout(TICK)
        self._unread = b""
        self._closed = False
        self.state: dict[str, Any] = {}

    def receive(self) -> bytes | None:
        """Return the next bytes, None when there were none for a TICK, b"" when the container has ended."""
        if self._closed:
            return self._ended()
        try:
            with self._cancellation.interruptible():
                data: bytes = self._socket.recv(CHUNK)
        except TimeoutError:
            return None
        except OSError:
            data = b""
        self._closed = not data
        return self._output(data) or (self._ended() if self._closed else None)

    def _output(self, data: bytes) -> bytes:
        """Return the output of all frames that are whole by now; of an unfinished one the engine owes the rest."""
        data, pieces = self._unread + data, []
        start = 0
        while len(data) >= start + _FRAME_HEADER:
            end = start + _FRAME_HEADER + int.from_bytes(data[start + 4 : start + _FRAME_HEADER], "big")
            if end > len(data):
                break
            pieces.append(data[start + _FRAME_HEADER : end])
            start = end
        self._unread = data[start:]
        return b"".join(pieces)

    def _ended(self) -> bytes | None:
        """Look whether the container has ended: a build may close its output and go on."""
        try:
            self._container.reload()
        except failures() as error:
            raise BuildError(
                "Docker stopped answering during the build ({reason}). It was running {where}. Check Docker "
                "(systemctl status docker), then deploy again.",
                reason=reason(error),
                where=self._log.job.shown,
            ) from None
        self.state = self._container.attrs["State"]
        if not self.state["Running"]:
            return b""
        with self._cancellation.interruptible():
            time.sleep(TICK / 5)
        return None
