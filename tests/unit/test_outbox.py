"""Small writes go out together, in order, and none is lost or kept back."""

import asyncio

from mentha.core.outbox import UNSENT_BYTES_MAX, Outbox


class Transport:
    """Keeps what is sent, one list a system call."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def writelines(self, parts: list[bytes]) -> None:
        self.sent.append(list(parts))


async def turn_of_the_loop() -> None:
    await asyncio.sleep(0)


async def test_writes_of_one_pass_of_the_loop_are_sent_at_once_in_order() -> None:
    transport = Transport()
    outbox = Outbox(transport)
    outbox.write(b"head")
    outbox.write(b"body")
    assert transport.sent == []
    await turn_of_the_loop()
    assert transport.sent == [[b"head", b"body"]]


async def test_writes_of_two_passes_of_the_loop_are_sent_apart() -> None:
    transport = Transport()
    outbox = Outbox(transport)
    for data in (b"one", b"two"):
        outbox.write(data)
        await turn_of_the_loop()
    assert transport.sent == [[b"one"], [b"two"]]


async def test_write_beyond_the_limit_is_sent_without_waiting() -> None:
    transport = Transport()
    outbox = Outbox(transport)
    outbox.write(b"head")
    outbox.write(large := b"x" * UNSENT_BYTES_MAX)
    assert transport.sent == [[b"head", large]]
    outbox.write(b"rest")
    await turn_of_the_loop()
    assert transport.sent == [[b"head", large], [b"rest"]]


async def test_flush_sends_now_and_nothing_twice() -> None:
    transport = Transport()
    outbox = Outbox(transport)
    outbox.write(b"last words")
    outbox.flush()
    await turn_of_the_loop()
    assert transport.sent == [[b"last words"]]


async def test_what_waits_for_a_transport_that_closes_is_dropped() -> None:
    transport = Transport()
    outbox = Outbox(transport)
    outbox.write(b"too late")
    transport.closing = True
    await turn_of_the_loop()
    assert transport.sent == []
