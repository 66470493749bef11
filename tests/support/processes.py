"""Processes that tests look for: each may be gone by the time that it is asked for its name."""

import psutil


def below(part: str = "", *, of: int | None = None) -> list[psutil.Process]:
    """What runs below a process, this one without `of`, with `part` in its name or its command line.

    Below this one, PostgreSQL's processes don't count: they are there for the tests of all workers.
    """
    found: list[psutil.Process] = []
    for process in psutil.Process(of).children(recursive=True):
        try:
            name = process.name()
            if part in f"{name} {' '.join(process.cmdline())}" and (of is not None or name != "postgres"):
                found.append(process)
        except psutil.Error:
            continue
    return found
