"""How a process of ours that works on what tenants wrote gives up everything that it does not need: files, processes, privileges, memory.

For workers, which start with the standard library and what they name themselves; see `sandbox/worker.py` and `sandbox/extract_worker.py`.
"""

import contextlib
import ctypes
import math
import os
import pwd
import resource
import signal
import sys
import tempfile
import time

# A worker that holds this much more than at its start is not used again: one big render must not stay in memory.
GROWTH_BYTES_MAX = 64_000_000

# Source: linux/prctl.h.
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


class Memory:
    """How much memory this process holds, where `/proc` tells; the file stays open because none can be opened later."""

    def __init__(self) -> None:
        self._page_bytes = resource.getpagesize()
        try:
            self.fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.fd = 0
        self._resident_at_start_bytes = self._bytes(1)

    def virtual_bytes(self) -> int:
        """Addresses that are taken; 0 where nobody tells."""
        return self._bytes(0)

    def grown(self) -> bool:
        """Whether it holds so much more than at its start that it should not be used again."""
        return self._bytes(1) - self._resident_at_start_bytes > GROWTH_BYTES_MAX

    def _bytes(self, field: int) -> int:
        return int(os.pread(self.fd, 100, 0).split()[field]) * self._page_bytes if self.fd else 0


def close_inherited() -> None:
    """Close what the server had open: not every event loop does that for its children."""
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - pathlib is not worth its memory in a worker
        if int(name) > 2:
            # The listing itself used a descriptor, which is closed already.
            with contextlib.suppress(OSError):
                os.close(int(name))


def lock_down(parent_pid: int, *, memory_bytes_max: int, keep_fds: int) -> None:
    """Give up for good what this process does not need. The order matters: each step may still need what a later one takes away.

    Args:
        parent_pid: whose end is this process's end.
        memory_bytes_max: of addresses, those that are taken already included.
        keep_fds: no descriptor from this number on can be opened.
    """
    _enter_no_folder()
    time.tzset()
    libc = ctypes.CDLL(None)
    for which in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC):
        _limit(which, 0)
    _drop_privileges()
    if sys.platform == "linux":
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # After the change of user, which resets it. A parent that ended before this line is seen by the next one.
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(0)
    for finders in (sys.meta_path, sys.path, sys.path_hooks):
        finders.clear()
    sys.path_importer_cache.clear()
    _limit(resource.RLIMIT_NOFILE, keep_fds)
    _limit(resource.RLIMIT_AS, memory_bytes_max)


def limit_cpu(timeout_s: float) -> None:
    """End this process when one request takes far too long and the server, which should have killed it, does not live any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(time.process_time() + timeout_s) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _enter_no_folder() -> None:
    """Work in a folder that is removed already: empty, nothing can be made in it, and nothing is left behind by a killed process."""
    folder = tempfile.mkdtemp(prefix="mentha-")
    os.chdir(folder)
    os.rmdir(folder)  # noqa: PTH106 - as above


def _drop_privileges() -> None:
    """As root, become `nobody`. Where the system forbids that (some containers), the other limits have to do."""
    if os.getuid() != 0:
        return
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)


def _limit(which: int, value: int) -> None:
    """Cap a resource for good, never above what is allowed now. macOS refuses some of them; then time is the only limit."""
    _, hard = resource.getrlimit(which)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(which, (value, value))
