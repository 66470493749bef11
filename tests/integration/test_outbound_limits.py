"""The door against hostile servers: size, pieces, headers, time, and how many connections there are."""

import asyncio
import gzip
import zlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from mentha.core.config import Settings
from mentha.core.errors import OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.observe import events
from mentha.observe.events import Event, OutboundCalled
from mentha.tools.outbound import Outbound, OutboundCall, OutboundResponse, exchange
from mentha.tools.outbound.dial import LOOKUPS_PER_TENANT_MAX, Slots
from tests.support.wild_server import Seen, answer, saying, wild_server

TENANT = UUID(int=7)
LIMIT = 100_000


def outbound(**settings: Any) -> Outbound:
    given = {"response_bytes_max": LIMIT, **settings}
    return Outbound(Settings(outbound_allow=("127.0.0.1",), **{f"outbound_{name}": value for name, value in given.items()}))


async def get(door: Outbound, url: str, *, tenant: UUID = TENANT, method: str = "GET") -> OutboundResponse:
    return await door.request(OutboundCall(tenant=tenant, method=method, url=url))


async def pour(writer: asyncio.StreamWriter, head: bytes, piece: bytes, times: int) -> None:
    """Send much, as fast as it is taken."""
    writer.write(head)
    for _ in range(times):
        writer.write(piece)
        await writer.drain()


# --- size


@pytest.mark.parametrize("told", [True, False])
async def test_body_beyond_its_size_is_refused_before_it_is_read_whole(told: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + (b"content-length: 1000000000\r\n" if told else b"") + b"\r\n"
    sent = 0

    async def say(_: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(head)
        for _ in range(10_000):
            writer.write(b"x" * 100_000)
            sent += 100_000
            await writer.drain()

    async with wild_server(say) as server:
        with pytest.raises(OutboundRefused) as refused:
            await get(outbound(), server.url())
    assert refused.value.rule == "response_size"
    assert "MENTHA_OUTBOUND_RESPONSE_BYTES_MAX" in (refused.value.fix or "")
    assert sent < 100_000_000


async def test_body_of_just_its_size_is_taken() -> None:
    for body in (answer(body=b"x" * LIMIT), b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LIMIT):
        async with wild_server(saying(body)) as server:
            assert len((await get(outbound(), server.url())).body) == LIMIT


async def test_compressed_body_is_taken_decompressed_and_its_headers_tell_nothing_else() -> None:
    text = b"hello " * 1_000
    for coding, packed in (
        ("gzip", gzip.compress(text)),
        ("GZIP", gzip.compress(text)),
        ("deflate", zlib.compress(text)),
        ("identity", text),
    ):
        async with wild_server(saying(answer(body=packed, content_encoding=coding))) as server:
            response = await get(outbound(), server.url())
            assert response.body == text
            assert response.header("content-encoding") is None


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_bomb_is_counted_after_decompression(coding: str) -> None:
    packer = zlib.compressobj(wbits=31 if coding == "gzip" else 15)
    packed = packer.compress(b"\0" * 50_000_000) + packer.flush()
    assert len(packed) < LIMIT
    async with wild_server(saying(answer(body=packed, content_encoding=coding))) as server:
        with pytest.raises(OutboundRefused) as refused:
            await get(outbound(), server.url())
    assert refused.value.rule == "response_size"


async def test_compressed_body_that_never_becomes_anything_is_counted_as_it_comes() -> None:
    """Empty blocks: any number of bytes that decompress to none."""
    packer = zlib.compressobj(wbits=31)
    empty = b"".join([packer.flush(zlib.Z_FULL_FLUSH)] + [b"\x00\x00\x00\xff\xff" * 2_000])

    async def say(_: Seen, writer: asyncio.StreamWriter) -> None:
        await pour(writer, b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + empty, b"\x00\x00\x00\xff\xff" * 2_000, 10_000)

    async with wild_server(say) as server:
        with pytest.raises(OutboundRefused):
            await get(outbound(), server.url())


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "deflate,gzip", "x-unknown"])
async def test_coding_that_was_not_asked_for_fails(coding: str) -> None:
    async with wild_server(saying(answer(body=gzip.compress(b"x"), content_encoding=coding))) as server:
        with pytest.raises(OutboundFailed, match="coding"):
            await get(outbound(), server.url())


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"x" * 1_000)[:-5]], ids=["no gzip", "cut off"])
async def test_body_that_is_not_compressed_as_it_says_fails(body: bytes) -> None:
    async with wild_server(saying(answer(body=body, content_encoding="gzip"))) as server:
        with pytest.raises(OutboundFailed, match="compressed"):
            await get(outbound(), server.url())


async def test_body_in_pieces_of_a_byte_leaves_the_event_loop_to_others_and_is_refused_at_last() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def say(_: Seen, writer: asyncio.StreamWriter) -> None:
        await pour(writer, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 5_000, 100)

    async with wild_server(say) as server:
        counting = asyncio.create_task(count())
        with pytest.raises(OutboundRefused, match="pieces"):
            await get(outbound(response_bytes_max=10_000_000), server.url())
        counting.cancel()
    assert turns >= exchange.PIECES_MAX / exchange.PIECES_A_TURN


# --- what is no answer


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
    ],
    ids=range(9),
)
async def test_what_is_no_whole_answer_fails_without_being_repeated(raw: bytes) -> None:
    async with wild_server(saying(raw)) as server:
        with pytest.raises(OutboundFailed) as failed:
            await get(outbound(), server.url())
    assert "OpenSSH" not in str(failed.value)
    assert failed.value.retry


async def test_headers_beyond_their_number_are_refused() -> None:
    async with wild_server(saying(answer(**{f"x_{n}": "y" for n in range(exchange.HEADERS_MAX)}))) as server:
        with pytest.raises(OutboundRefused) as refused:
            await get(outbound(), server.url())
    assert refused.value.rule == "response_headers"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y" * 20_000),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1;" + b"e" * 50_000 + b"\r\nx\r\n"),
    ],
    ids=["announcements", "header", "extensions"],
)
async def test_answer_with_endless_framing_is_refused(head: bytes, piece: bytes) -> None:
    async def say(_: Seen, writer: asyncio.StreamWriter) -> None:
        await pour(writer, head, piece, 10_000)

    async with wild_server(say) as server:
        with pytest.raises(OutboundRefused, match="around its answer"):
            await get(outbound(), server.url())


async def test_headers_in_any_encoding_are_read() -> None:
    async with wild_server(saying(b"HTTP/1.1 200 OK\r\nA: \xc3\xa4\r\nB: \xe4\r\n\r\n")) as server:
        response = await get(outbound(), server.url())
        assert response.headers == (("a", "ä"), ("b", "ä"))


# --- time


async def test_answer_that_drips_ends_with_its_time() -> None:
    async def drip(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    seen: list[Event] = []
    events.subscribe(seen.append)
    async with wild_server(drip) as server:
        with pytest.raises(OutboundTimeout, match="within 0.2 s"):
            await get(outbound(timeout_s=0.2), server.url())
    events.unsubscribe(seen.append)
    assert isinstance(seen[0], OutboundCalled)
    assert seen[0].outcome == "timeout"


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nx:", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_answer_that_never_begins_ends_with_its_time(begun: bytes) -> None:
    async def hang(_: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        await asyncio.get_running_loop().create_future()

    async with wild_server(hang) as server:
        with pytest.raises(OutboundTimeout):
            await get(outbound(timeout_s=0.1), server.url())


async def test_time_of_a_call_spans_all_of_its_redirects() -> None:
    async def slow(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(answer("302 Found", location=f"{seen.target}x"))
        await writer.drain()

    async with wild_server(slow) as server:
        with pytest.raises(OutboundTimeout):
            await get(outbound(timeout_s=0.3, redirects_max=20), server.url())


# --- how many


async def crowd(door: Outbound, urls: Sequence[str], tenants: Sequence[UUID]) -> None:
    await asyncio.gather(*(get(door, url, tenant=tenant) for url, tenant in zip(urls, tenants, strict=True)))


async def meet(_: Seen, writer: asyncio.StreamWriter) -> None:
    for _ in range(20):
        await asyncio.sleep(0)
    writer.write(answer(body=b"done"))
    await writer.drain()


async def test_calls_to_one_host_at_once_are_limited_and_all_answered() -> None:
    async with wild_server(meet) as server:
        await crowd(outbound(connections_per_host_max=2), [server.url()] * 12, [UUID(int=n) for n in range(12)])
        assert (server.peak, server.connections) == (2, 12)


async def test_calls_of_one_tenant_at_once_get_a_quarter_of_all() -> None:
    async with wild_server(meet) as server:
        await crowd(outbound(connections_max=12), [server.url()] * 9, [TENANT] * 9)
        assert server.peak == 3


async def test_calls_of_the_process_at_once_are_limited() -> None:
    async with wild_server(meet) as server:
        await crowd(outbound(connections_max=4), [server.url()] * 12, [UUID(int=n) for n in range(12)])
        assert server.peak == 4


async def test_call_that_waits_for_a_place_ends_with_its_time() -> None:
    async def hang(_: Seen, __: asyncio.StreamWriter) -> None:
        await asyncio.get_running_loop().create_future()

    async with wild_server(hang) as server:
        door = outbound(connections_per_host_max=1, timeout_s=0.1)
        results = await asyncio.gather(*(get(door, server.url()) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in results] == [OutboundTimeout] * 3
        assert not door._dialler._by_host._users


async def test_places_of_a_key_are_given_back_in_order_and_leave_nothing() -> None:
    slots = Slots(1)
    order: list[int] = []

    async def hold(number: int) -> None:
        await slots.take("k")
        order.append(number)
        await asyncio.sleep(0)
        slots.give("k")

    tasks = [asyncio.create_task(hold(n)) for n in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [0, 1, 3, 4]
    assert not slots._users
    assert not slots._free


async def test_look_ups_of_one_tenant_leave_threads_to_others() -> None:
    door = Outbound(Settings(outbound_allow=("localhost",)))
    found = await asyncio.gather(*(door.check_url("http://localhost/", tenant=TENANT) for _ in range(3 * LOOKUPS_PER_TENANT_MAX)))
    assert {each.host for each in found} == {"localhost"}
    assert not door._dialler._lookups._users
    assert not door._dialler._lookups_by_tenant._users
