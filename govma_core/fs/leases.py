"""File leases (fcntl(2), F_SETLEASE): the kernel guarantees that no process has a file open for writing.

A process that opens it for writing meanwhile waits until the lease is given up, and the holder can see that it waits.
"""

from __future__ import annotations

import errno
import fcntl
import signal

_UNSUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EPERM})


def ignore_breaks() -> None:
    """Have the signal that announces a waiting writer ignored in this process; its default is to end the process."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)


def take(fd: int) -> bool | None:
    """Take a lease on a file open for reading.

    True when it is ours, False when a process has the file open for writing, None when no lease can be had (the
    file system has none, or the file belongs to another user). Closing the descriptor gives it up.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return False
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def held(fd: int) -> bool:
    """Tell whether a lease that was taken is whole: no writer waits."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK
