"""Gives up what a program does not need, and becomes that program: run by its path, with `python -I -S`.

    confined.py MEMORY_BYTES CPU_S FILE_BYTES PROGRAM [ARGUMENT …]

The program keeps its working folder, which it may write to, and its standard streams. As root it runs as `nobody`, who gets the folder.
"""

import ctypes
import os
import pwd
import resource
import signal
import sys
from pathlib import Path

# Source: linux/prctl.h.
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
FILES_OPEN_MAX = 64


def main(arguments: list[str]) -> None:
    """Become the program."""
    memory_bytes, cpu_s, file_bytes = map(int, arguments[:3])
    if os.geteuid() == 0:
        _become_nobody()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_NOFILE: FILES_OPEN_MAX,
        resource.RLIMIT_AS: memory_bytes,
    }
    for which, value in limits.items():
        _, hard = resource.getrlimit(which)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(which, (least, least))
    os.execve(arguments[3], arguments[3:], {})  # noqa: S606 - to become the program is what it is for


def _become_nobody() -> None:
    account = pwd.getpwnam("nobody")
    here = Path()
    for each in (here, *here.iterdir()):
        os.chown(each, account.pw_uid, account.pw_gid)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    main(sys.argv[1:])
