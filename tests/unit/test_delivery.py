"""What follows from how a handler ended."""

import asyncio

import pytest

from mentha import observe
from mentha.core.errors import Unavailable
from mentha.observe.events import Event, JobFailed
from mentha.store.delivery import ATTEMPTS_MAX, Deliveries, GiveBack, Job, Retry


async def outcome(error: BaseException | None, *, attempts: int = 0) -> tuple[GiveBack | None, list[Event]]:
    """What becomes of a job whose handler ends so, and what is told."""

    async def handler(_: Job) -> None:
        if error is not None:
            raise error

    told: list[Event] = []
    observe.subscribe(told.append)
    try:
        return await Deliveries({"x": handler}).run(Job(1, "x", b"", attempts)), told
    finally:
        observe.unsubscribe(told.append)


async def test_pause_before_the_next_attempt_doubles_up_to_five_minutes() -> None:
    pauses = [(await outcome(KeyError(), attempts=attempts))[0] for attempts in range(ATTEMPTS_MAX - 1)]
    assert [pause.delay_s for pause in pauses if pause] == [1, 2, 4, 8, 16, 32, 64, 128, 256, *[300] * 10]
    assert [pause.attempts for pause in pauses if pause] == list(range(1, ATTEMPTS_MAX))


async def test_job_is_given_up_after_its_last_attempt() -> None:
    back, told = await outcome(KeyError(), attempts=ATTEMPTS_MAX - 1)
    assert back is None
    assert [(event.attempt, event.will_retry) for event in told if isinstance(event, JobFailed)] == [(ATTEMPTS_MAX, False)]


async def test_error_on_purpose_is_told_by_its_name_and_a_fault_by_its_place() -> None:
    (known,) = (await outcome(Unavailable("away for now")))[1]
    (fault,) = (await outcome(KeyError("k")))[1]
    assert isinstance(known, JobFailed)
    assert isinstance(fault, JobFailed)
    assert (known.reason, known.detail) == ("unavailable", "away for now")
    assert fault.reason == "KeyError"
    assert "test_delivery.py" in fault.detail


@pytest.mark.parametrize("attempts", [0, 7, ATTEMPTS_MAX + 1])
async def test_job_that_asks_to_come_again_keeps_its_count(attempts: int) -> None:
    assert (await outcome(Retry(30, "wait"), attempts=attempts))[0] == GiveBack(30, attempts)


async def test_handler_that_is_cancelled_from_within_has_failed() -> None:
    back, (told,) = await outcome(asyncio.CancelledError())
    assert back == GiveBack(1, 1)
    assert isinstance(told, JobFailed)
    assert told.reason == "CancelledError"


async def test_delivery_that_is_cancelled_cancels_its_handler() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handler(_: Job) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(Deliveries({"x": handler}).run(Job(1, "x", b"", 0)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended.wait()


async def test_job_that_comes_after_the_end_is_given_back_untouched() -> None:
    deliveries = Deliveries({})
    deliveries.close()
    assert await deliveries.run(Job(1, "x", b"", 3)) == GiveBack(0, 3)
