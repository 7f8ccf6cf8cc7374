"""Every error the core raises on purpose, and the exit code each one means.

    GovmaError                    1  the operation failed
    ├── UsageError                2  the request itself makes no sense, or names no run, or several things
    ├── ConfigurationError        3  a setting is wrong
    ├── PreflightError            3  something the operation needs is missing (all of it, at once)
    ├── BusyError                 4  another run holds the lock
    ├── RefusedError              5  understood, but not done, on purpose
    │   └── HeldError             5  deploys are frozen
    ├── SourceError               1  the git checkout or its remote
    ├── EngineError               1  the Docker engine
    ├── CommandError              1  a program that was run on this machine
    ├── BuildError                1  the builder, or what it left
    ├── VendorError               1  a vendor tarball
    ├── UnsafeTreeError           1  something in a tree is not what it may be
    ├── PublishError              1  the versions directory or the pointer
    ├── HookError                 1  a hook stopped the run
    ├── RestartError              1  containers were exchanged, and are not any more
    ├── NotTriedError             1  the version could not be tried; nothing is known against it
    ├── RehearsalError            1  it was tried, and is not good
    ├── RevertedError             1  it was live, and is not any more
    └── UnprovedError             6  it is live, but what is served is not proved or not right

    RunCancelled                130  not a failure: it was asked for

Messages are sentences for the operator: what was found, where, and what to do. They are written in English where they
are raised, with values by name, and are translated by the error itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import ClassVar

from govma_core.text.language import tr


class ExitCode(IntEnum):
    """Exit codes of the command and of a run's record; documented in docs/commands.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    BUSY = 4
    REFUSED = 5
    UNPROVED = 6
    CANCELLED = 130


class GovmaError(Exception):
    """Root of all errors with a sentence for the operator; it is translated, and filled with `values`, as by tr()."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str = "", /, **values: object) -> None:
        super().__init__(tr(message, **values))


class UsageError(GovmaError):
    """The request itself makes no sense (no such run, a name that fits several versions)."""

    exit_code = ExitCode.USAGE


class ConfigurationError(GovmaError):
    """A setting is wrong."""

    exit_code = ExitCode.CONFIGURATION


class PreflightError(GovmaError):
    """What an operation needs is missing; carries every problem found, not the first."""

    exit_code = ExitCode.CONFIGURATION

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BusyError(GovmaError):
    """Another run holds the lock."""

    exit_code = ExitCode.BUSY


class RefusedError(GovmaError):
    """The request was understood and is not carried out, on purpose."""

    exit_code = ExitCode.REFUSED


class HeldError(RefusedError):
    """Deploys are held, by an operator or after a rollback; `until` is its end (epoch seconds), 0 when not known."""

    def __init__(self, message: str, /, until: float = 0.0, **values: object) -> None:
        super().__init__(message, **values)
        self.until = until


class SourceError(GovmaError):
    """The git checkout is not clean, not there, or its remote cannot be used."""


class EngineError(GovmaError):
    """The Docker engine does not answer, or does not do what it was asked for."""


class CommandError(GovmaError):
    """A program on this machine could not be started or ended, or failed."""


class BuildError(GovmaError):
    """The builder could not be started, failed, or left something that cannot be published."""


class VendorError(GovmaError):
    """A vendor tarball is missing, damaged or holds what it must not."""


class UnsafeTreeError(GovmaError):
    """A tree that others can write holds a link or a special file where none may be."""


class PublishError(GovmaError):
    """The versions directory or the pointer is not in a state to work with."""


class HookError(GovmaError):
    """An operator's hook failed before the switch, or could not be run."""


class RestartError(GovmaError):
    """Containers were exchanged and not good; it says whether all that was before is back."""


class NotTriedError(GovmaError):
    """The candidate could not be tried: that says nothing about it."""


class RehearsalError(GovmaError):
    """The candidate was tried before the switch, and did not answer as it must."""


class RevertedError(GovmaError):
    """The version was switched to and did not serve as it must; the one before is live again."""


class UnprovedError(GovmaError):
    """The version is live, but it was not proved that it is what is served, or a check fails on it."""

    exit_code = ExitCode.UNPROVED


class RunCancelled(Exception):
    """The run was asked to stop, and did at the next safe point."""

    exit_code: ClassVar[ExitCode] = ExitCode.CANCELLED
