"""Text out of PDFs, by a process that may be hurt: what hostile files do to it, and what it can't do to anybody."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psutil
import pytest

from mentha.core import config
from mentha.core.errors import FileInvalid, Unavailable
from mentha.sandbox.extract import EXTRACTIONS_AT_ONCE_MAX, TENANT_WAITING_MAX, Extracted, Extractor
from tests.support import pdfs
from tests.support.processes import below
from tests.support.talk import until

FUZZED = 10
TENANT = UUID(int=1)


@pytest.fixture
async def extractor() -> AsyncIterator[Extractor]:
    """One with little time and memory; nothing of it is left."""
    flags = {"file_extract_s": 2, "file_extract_memory_bytes_max": 200_000_000}
    made = Extractor(config.load(environ={}, flags=flags))
    yield made
    await made.close()
    assert not workers()


def workers() -> list[psutil.Process]:
    return below("extract_worker")


async def outcome(extractor: Extractor, raw: bytes) -> Any:
    try:
        return await extractor.pdf(TENANT, raw, chars_max=100_000)
    except FileInvalid as error:
        return error.message


async def test_text_of_pages_comes_in_order_and_is_cut_where_it_is_too_long(extractor: Extractor) -> None:
    raw = pdfs.pdf(["One (1)\nand caf\u00e9", "Two", "Three"])
    assert await extractor.pdf(TENANT, raw, chars_max=1_000) == Extracted("One (1)\nand caf\u00e9\n\nTwo\n\nThree", is_cut=False)
    assert await extractor.pdf(TENANT, raw, chars_max=5) == Extracted("One (", is_cut=True)
    assert await extractor.pdf(TENANT, pdfs.pdf([""]), chars_max=5) == Extracted("", is_cut=False)


async def test_hostile_pdfs_give_a_reason_or_little_text_and_hurt_nobody(extractor: Extractor) -> None:
    raws = pdfs.hostile()
    found = dict(zip(raws, await asyncio.gather(*(outcome(extractor, raw) for raw in raws.values())), strict=True))
    for name, each in found.items():
        assert (isinstance(each, str) and "PDF" in each) or (isinstance(each, Extracted) and len(each.text) <= 100_000), name
    assert (await extractor.pdf(TENANT, pdfs.pdf(["well"]), chars_max=100)).text == "well"


@pytest.mark.parametrize(
    ("lines", "limit", "reason"),
    [(600_000, {"file_extract_s": 0.2}, "takes longer"), (3_000_000, {"file_extract_memory_bytes_max": 64_000_000}, "too much memory")],
)
async def test_pdf_that_takes_more_than_it_may_is_refused_by_name(lines: int, limit: dict[str, Any], reason: str) -> None:
    extractor = Extractor(config.load(environ={}, flags=limit))
    with pytest.raises(FileInvalid, match=reason):
        await extractor.pdf(TENANT, pdfs.of_streams([b"BT /F1 9 Tf " + b"(a) Tj T* " * lines + b"ET"]), chars_max=1_000)
    await extractor.close()


async def test_damaged_pdfs_give_a_reason_or_text(extractor: Extractor) -> None:
    chance, whole = random.Random(5), pdfs.pdf([f"Page {at} of several" for at in range(4)], compress=False)

    def damaged() -> bytes:
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 30)):
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 4)] = chance.randbytes(chance.randint(0, 4))
        return bytes(raw)

    found = await asyncio.gather(*(outcome(extractor, damaged()) for _ in range(FUZZED)))
    assert all(isinstance(each, str | Extracted) for each in found)


async def test_file_that_waits_for_a_process_is_not_read_yet(extractor: Extractor) -> None:
    reading, go = list[int](), asyncio.Event()

    async def source(place: int) -> bytes:
        reading.append(place)
        await go.wait()
        return pdfs.pdf(["x"])

    tasks = [asyncio.create_task(extractor.pdf(UUID(int=at), lambda at=at: source(at), chars_max=9)) for at in range(4)]  # type: ignore[misc]  # bound now
    await until(lambda: len(reading) == EXTRACTIONS_AT_ONCE_MAX)
    for _ in range(10):
        await asyncio.sleep(0)
    assert reading == [0, 1]
    go.set()
    assert await asyncio.gather(*tasks) == [Extracted("x", is_cut=False)] * 4


async def test_files_of_a_tenant_leave_a_process_to_the_others(extractor: Extractor) -> None:
    go = asyncio.Event()

    async def slow() -> bytes:
        await go.wait()
        return pdfs.pdf(["x"])

    held = [asyncio.create_task(extractor.pdf(TENANT, slow, chars_max=9)) for _ in range(TENANT_WAITING_MAX)]
    await asyncio.sleep(0)
    assert (await extractor.pdf(UUID(int=2), pdfs.pdf(["y"]), chars_max=9)).text == "y"
    extra = [asyncio.create_task(extractor.pdf(TENANT, slow, chars_max=9)) for _ in range(2)]
    with pytest.raises(Unavailable, match="too many files"):
        await extra[1]
    for task in (*held, *extra):
        task.cancel()
    await asyncio.gather(*held, *extra, return_exceptions=True)


async def test_close_ends_what_runs_and_what_waits(extractor: Extractor) -> None:
    running = [asyncio.create_task(extractor.pdf(TENANT, pdfs.pdf(["x"] * 2_000), chars_max=100_000)) for _ in range(3)]
    await until(lambda: bool(workers()))
    await extractor.close()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(result, Unavailable | FileInvalid | Extracted) for result in results)
    assert any(isinstance(result, Unavailable) for result in results)
