"""A script that starts a child: drop root, request a signal for the parent's end, then exec the program.

    python -I -S exec_child.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT ...]

A script, because `preexec_fn` runs Python between fork and exec, which can deadlock in a process with threads.
`setuid` clears the parent-death signal, so it comes first; after it nothing can be imported from root's home.
"""

import ctypes
import os
import sys
from signal import SIG_DFL, SIGPIPE, SIGXFSZ, signal

PR_SET_PDEATHSIG = 1


def exec_child(parent: int, orphan_signal: int, uid: int, gid: int, argv: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if libc and libc.prctl(PR_SET_PDEATHSIG, orphan_signal) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:  # it ended before prctl: the signal would never come
        os._exit(1)
    for ignored in (SIGPIPE, SIGXFSZ):  # Python ignores them, and exec keeps that
        signal(ignored, SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 (no shell needed)


if __name__ == "__main__":
    parent, orphan_signal, uid, gid = map(int, sys.argv[1:5])
    exec_child(parent, orphan_signal, uid, gid, sys.argv[5:])
