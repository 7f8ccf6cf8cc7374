"""File leases (fcntl(2), F_SETLEASE): the kernel's word that nobody has a file open for writing.

Somebody who opens it for writing meanwhile is made to wait until the lease is given up, and the holder can see that he
is waiting.
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

    True when it is ours, False when somebody has the file open for writing, None when leases cannot be had here (the
    file system has none, or the file belongs to somebody else). Closing the descriptor gives it up.
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
