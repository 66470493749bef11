"""What SIGTERM and SIGINT do: at first they end the start; later each is a call, of which the second means "now"."""

import asyncio
import signal
from collections.abc import Callable

NUMBERS = (signal.SIGTERM, signal.SIGINT)


def end_task() -> None:
    """From now on a signal cancels the current task; what it has opened is closed again."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is not None:
        for number in NUMBERS:
            loop.add_signal_handler(number, task.cancel)


def call(react: Callable[[signal.Signals, bool], None]) -> None:
    """From now on a signal calls `react` with its number and whether there was one before."""
    seen: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        seen.append(number)
        react(number, len(seen) > 1)

    loop = asyncio.get_running_loop()
    for number in NUMBERS:
        loop.add_signal_handler(number, on_signal, number)
