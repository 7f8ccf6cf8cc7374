"""Builds on this machine, as the build's user; for servers without Docker, and for trying things out."""

from __future__ import annotations

import os
import platform
import pwd
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

from govma_core.building import node_modules, step_tree
from govma_core.building.build_script import BuildJob, BuildLog
from govma_core.errors import BuildError
from govma_core.process import descendants
from govma_core.process.shell import identity, running
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.language import tr

_MARK = "GOVMA_BUILD_FOR"
"""Environment variable of every process of a build: the versions directory it works for."""

_PLAIN_WORD = re.compile(r"[\w.+-]+")
_TOOLS = "for tool in node npm; do command -v $tool >/dev/null && echo $tool $($tool --version); done; true"
_PATIENCE = 30


class LocalBuilder:
    """Runs the steps in their trees, with no rights but those of build_uid and build_gid."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Without root's rights the build runs as our own user.
        self._who = identity(*settings.build_owner)
        self._uid = settings.build_uid if self._who else os.geteuid()

    def preflight(self) -> list[str]:
        """Return a sentence for each program that is missing, and when the build's user cannot reach the work dir."""
        problems = []
        for word in dict.fromkeys(command.split()[0] for command in self._settings.all_build_commands):
            if _PLAIN_WORD.fullmatch(word) and self._run('command -v "$1"', word).returncode:
                problems.append(
                    tr(
                        "The build needs {word}, which is not in the PATH of uid {uid} ({path}). Install it, "
                        "or build in a container: GOVMA_BUILDER=docker.",
                        word=word,
                        uid=self._uid,
                        path=_path(),
                    )
                )
        parent = self._settings.work_dir.parent
        if parent.is_dir() and self._run('cd "$1"', str(parent)).returncode:
            problems.append(
                tr(
                    "The build's user (uid {uid}) cannot enter {parent}, where work_dir is. Give everybody "
                    "the right to pass through it (chmod a+x), or set GOV_MA_WORK_DIR.",
                    uid=self._uid,
                    parent=parent,
                )
            )
        return problems

    def remove_leftovers(self, reporter: Reporter) -> None:
        """End the processes of a killed run's build, and put its node_modules back."""
        settings = self._settings
        # Where the build's user is our own, a process that works there may be the operator's editor.
        trees = step_tree.left(settings.work_dir)
        names = (settings.work_dir, *trees, settings.node_modules_dir) if self._who else ()
        directories = [Path(os.path.realpath(name)) for name in names]
        for process in descendants.end_all(lambda: descendants.left(self._mark(), self._uid, directories)):
            reporter.warning(
                "Ended process {pid} ({name}), which an interrupted build left running.",
                pid=process.pid,
                name=process.name,
            )
        for process in descendants.attended(self._uid, directories):
            reporter.warning(
                "Process {pid} ({name}) of the build's user is at work in work_dir or node_modules_dir, and has a "
                "terminal. It is left alone; end it if it is nobody's.",
                pid=process.pid,
                name=process.name,
            )
        # A run of a version before steps had it in the work dir.
        for tree in (settings.work_dir, *trees):
            node_modules.recover(settings.node_modules_dir, tree, reporter)

    def prepare(self, folder: Path | None, reporter: Reporter) -> str:
        """Return the versions of node and npm, and the machine's kind; the repository's Dockerfile has no say here."""
        if folder is not None:
            reporter.info(
                "Built on this machine: {builder_context} of the repository is not used.",
                builder_context=self._settings.builder_context,
            )
        tools = self._run(_TOOLS)
        return ", ".join([platform.system(), platform.machine(), *tools.stdout.decode("ascii", "replace").splitlines()])

    def prepare_modules(self, reporter: Reporter) -> None:
        """Have node_modules in the hands of the build's user, where it is there."""
        node_modules.move_foreign_away(self._settings.node_modules_dir, self._uid, reporter)

    def build(self, job: BuildJob, reporter: Reporter) -> None:
        """Run a step; afterwards none of its processes runs. BuildError when it fails, and how."""
        log = BuildLog(job, reporter)
        with (
            node_modules.lent(self._settings.node_modules_dir, job.tree_fd, reporter),
            ExitStack() as stack,
        ):
            environment = self._environment(job.tree)
            try:
                shell = stack.enter_context(
                    running(job.script(), job.tree, environment, self._who, reporter.cancellation)
                )
            except OSError as error:
                raise BuildError(
                    "The build could not be started in {work_dir} as uid {uid}: {strerror}.",
                    work_dir=job.tree,
                    uid=self._uid,
                    strerror=error.strerror,
                ) from None
            log.follow(shell.receive, self._settings.build_timeout)
        log.judge(shell.code)

    def _run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                ["sh", "-c", script, "sh", *arguments],
                cwd="/",
                env=self._environment(Path("/nonexistent")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=False,
                **self._who,
            )
        except subprocess.TimeoutExpired:
            raise BuildError(
                "`{script}` as uid {uid} did not end within {patience} s.",
                script=script,
                uid=self._uid,
                patience=_PATIENCE,
            ) from None

    def _environment(self, otherwise: Path) -> dict[str, str]:
        """Return the whole environment of the build, which holds no secret of this process."""
        try:
            home = Path(pwd.getpwuid(self._uid).pw_dir)
        except KeyError:
            home = otherwise
        name, _, value = self._mark().partition("=")
        return {
            "PATH": _path(),
            "HOME": str(home if home.is_dir() else otherwise),
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "TERM": "dumb",
            name: value,
        }

    def _mark(self) -> str:
        return f"{_MARK}={self._settings.versions_dir}"


def _path() -> str:
    return os.environ.get("PATH", os.defpath)
