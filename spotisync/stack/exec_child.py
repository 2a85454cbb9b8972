"""A script between us and a program of ours: drops root, makes the program end when we end, becomes the program.

    python -I -S leash.py PARENT SIGNAL UID GID PROGRAM [ARGUMENT ...]

A script, and not `preexec_fn`: that runs Python between fork and exec, which may lock up in a process with threads.
`setuid` clears the death signal, so root goes first; after it nothing can be imported from root's home.
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
    if os.getppid() != parent:  # it ended before the line above: nobody would ever send the signal
        os._exit(1)
    for ignored in (SIGPIPE, SIGXFSZ):  # Python ignores them, and the program would inherit that
        signal(ignored, SIG_DFL)
    os.execvp(argv[0], argv)  # noqa: S606 (no shell wanted)


if __name__ == "__main__":
    parent, orphan_signal, uid, gid = map(int, sys.argv[1:5])
    exec_child(parent, orphan_signal, uid, gid, sys.argv[5:])
