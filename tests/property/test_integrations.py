"""Whatever a service answers in place of what it documents, a call gives a result or a failure that can be told, and nothing else."""

import asyncio
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mentha.core.errors import MenthaError
from mentha.tools.calls import ToolFailed
from tests.support import vendors
from tests.support.vendors.calling import Caller, calling
from tests.support.vendors.vendor import Vendor
from tests.support.wild_server import Seen, answer

ODD = [None, True, 0, -1.5, 10**30, "", "x", "<b>", [], {}, [None], [[]], {"a": None}, ["x", 1], [{"message": {}}], "\ud7ff", "../.."]


def broken(value: Any, chance: random.Random) -> Any:
    """A value with something odd at one of its places, or without it."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.2:
        return chance.choice(ODD)
    if isinstance(value, list):
        place = chance.randrange(len(value))
        return [broken(each, chance) if at == place else each for at, each in enumerate(value)]
    name = chance.choice(sorted(value))
    if chance.random() < 0.2:
        return {each: inner for each, inner in value.items() if each != name}
    return {**value, name: broken(value[name], chance)}


def breaking(vendor: Vendor, seed: int) -> Any:
    chance = random.Random(seed)

    def says(seen: Seen) -> bytes:
        whole = vendor.says(seen)
        head, _, body = whole.partition(b"\r\n\r\n")
        if chance.random() < 0.3:
            return whole
        try:
            changed = json.dumps(broken(json.loads(body), chance)).encode()
        except ValueError:
            cut = chance.randrange(len(body) + 1)
            changed = body[:cut] + bytes(chance.randrange(256) for _ in range(4)) + body[cut + chance.randrange(8) :]
        return answer(head.partition(b"\r\n")[0].decode().partition(" ")[2], changed, content_type="application/json")

    return says


@pytest.mark.parametrize("name", vendors.NAMES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_answer_that_is_not_as_documented_breaks_nothing(name: str, seed: int) -> None:
    vendor = vendors.named(name)

    async def act() -> None:
        async with calling(vendor, breaking(vendor, seed), tool_timeout_s=8.0) as call:
            for setup in (None, {**vendor.setup, **vendor.wrong}):
                await tried(call, setup)

    asyncio.run(act())


async def tried(call: Caller, setup: Any) -> None:
    try:
        json.dumps(await call(setup=setup))
    except (ToolFailed, MenthaError):
        pass
