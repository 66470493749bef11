"""What every service over HTTP keeps to, whatever goes wrong there. The servers are real, and answer as the vendors document."""

import asyncio
import json
from typing import Any

import pytest

from mentha.core.errors import OutboundFailed, OutboundRefused, OutboundTimeout
from mentha.tools.calls import ToolFailed
from tests.support import vendors
from tests.support.vendors.calling import Caller, calling, first
from tests.support.vendors.vendor import STATUS, Vendor
from tests.support.wild_server import answer

# Asking these twice would do something twice.
NEVER_AGAIN = {"browserbase", "spider", "mailgun", "llama_parse", "cloudinary"}


@pytest.fixture(params=vendors.NAMES)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return vendors.named(request.param)


def saying(status: int, body: bytes = b'{"message": "no"}', **headers: str) -> bytes:
    return answer(STATUS[status], body, **headers)


async def test_service_as_documented_gives_the_documented_result(vendor: Vendor) -> None:
    async with calling(vendor) as call:
        result = await call()
        assert vendor.good in (None, result)
        assert len(call.server.seen) >= 1


async def test_service_with_a_wrong_key_is_asked_once_and_names_the_field(vendor: Vendor) -> None:
    if not vendor.wrong:
        pytest.skip("has no key")
    async with calling(vendor) as call:
        with pytest.raises(ToolFailed) as failed:
            await call(setup={**vendor.setup, **vendor.wrong})
        assert f"`{vendor.named}`" in failed.value.message
        assert not failed.value.retry
        assert len(call.server.seen) == 1
        assert call.waited == []


async def test_service_that_is_busy_is_asked_again_after_the_time_that_it_names(vendor: Vendor) -> None:
    async with calling(vendor, first(saying(429, retry_after="2"), vendor.says)) as call:
        result = await call()
        assert vendor.good in (None, result)
        assert call.waited[0] == 2.0


async def test_service_that_is_busy_for_long_is_left_alone_and_says_for_how_long(vendor: Vendor) -> None:
    async with calling(vendor, lambda _: saying(429, retry_after="3600")) as call:
        with pytest.raises(ToolFailed) as failed:
            await call()
        assert failed.value.retry
        assert failed.value.more == {"status": 429, "retry_after_s": 3600.0}
        assert (len(call.server.seen), call.waited) == (1, [])


@pytest.mark.parametrize(("status", "is_taken"), [(503, False), (500, True)])
async def test_service_that_fails_is_asked_again_only_where_that_does_no_harm(vendor: Vendor, status: int, is_taken: bool) -> None:
    async with calling(vendor, lambda _: saying(status)) as call:
        with pytest.raises(ToolFailed) as failed:
            await call()
        is_open = is_taken and vendor.provider in NEVER_AGAIN
        # Whoever repeats it by what `retry` says would send a second mail.
        assert failed.value.retry == (not is_open)
        assert failed.value.more["status"] == status
        assert len(call.server.seen) == (1 if is_open else 3)


async def test_service_that_breaks_off_is_asked_again_only_where_that_does_no_harm(vendor: Vendor) -> None:
    async with calling(vendor, lambda _: b"") as call:
        with pytest.raises((ToolFailed, OutboundFailed)) as failed:
            await call()
        is_open = vendor.provider in NEVER_AGAIN
        assert bool(failed.value.retry) == (not is_open)
        assert len(call.server.seen) == (1 if is_open else 3)


@pytest.mark.parametrize("body", [b"<<<", b'["no", "object"]', b"", b"\xff{}"])
async def test_service_that_answers_garbage_is_told_of_as_odd(vendor: Vendor, body: bytes) -> None:
    async with calling(vendor, lambda _: saying(200, body)) as call:
        with pytest.raises(ToolFailed, match="documented form") as failed:
            await call()
        assert failed.value.retry == (vendor.provider not in NEVER_AGAIN)


async def test_service_that_answers_too_much_is_cut_off(vendor: Vendor) -> None:
    async with calling(vendor, lambda _: saying(200, b'"' + b"x" * 5_000 + b'"'), outbound_response_bytes_max=1_000) as call:
        with pytest.raises(OutboundRefused) as refused:
            await call()
        assert refused.value.rule == "response_size"


async def test_service_that_never_answers_is_given_up(vendor: Vendor) -> None:
    async def silent(*_: Any) -> None:
        await asyncio.Event().wait()

    async with calling(vendor, silent, outbound_timeout_s=0.1) as call:
        with pytest.raises(OutboundTimeout):
            await call()


async def test_service_that_repeats_the_key_shows_it_to_nobody(vendor: Vendor) -> None:
    """`Caller` searches the result, the error and the log for it."""
    repeated = " ".join(call_texts(vendor)) or "nothing"
    async with calling(vendor, lambda _: saying(400, json.dumps({"message": f"wrong: {repeated}"}).encode())) as call:
        with pytest.raises(ToolFailed) as failed:
            await call()
        assert not failed.value.retry
        assert not call_texts(vendor) or "[secret]" in failed.value.message or vendor.provider == "google_sheets"


def call_texts(vendor: Vendor) -> list[str]:
    return Caller.texts(vendor.setup)
