"""What the tests of processes that make vectors share: docs with words of their own, and what the tables must hold in the end."""

import asyncio
import json
import os
import signal
from typing import Any

from tests.support.server import ServerProcess
from tests.support.talk import Client, until

INCOMPLETE = "SELECT count(*) FROM docs WHERE embedded_at IS NULL"
VECTORS = "SELECT count(*) FROM vectors"
# How many vectors of the active embedder each chunk has, and of others.
OWN = """SELECT count(v.embedder_id) FILTER (WHERE e.state = 'active') AS active, count(v.embedder_id) FILTER (WHERE e.state <> 'active') AS others
    FROM chunks c LEFT JOIN vectors v USING (tenant_id, doc_id, index) LEFT JOIN embedders e ON e.id = v.embedder_id
    GROUP BY c.tenant_id, c.doc_id, c.index"""
# What time does: the lease of a worker that is gone ends.
END_LEASES = "UPDATE docs SET due_at = now() WHERE claim IS NOT NULL"
IN_TRANSACTION = """SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"""
JOBS = "SELECT state, progress::int AS progress, count(*)::int AS count FROM jobs GROUP BY state, progress"


def saying(number: int) -> str:
    """A word that no other number has, and whose stem it is."""
    return "word" + "".join("bcdfghjklm"[int(digit)] for digit in str(number))


async def new_agent(client: Client) -> str:
    return (await client.post("/agents", json={"name": "Mia", "model": "gpt-x"})).raise_for_status().json()["id"]


async def add(client: Client, agent: str, first: int, count: int) -> None:
    """Store docs with these numbers."""
    limit = asyncio.Semaphore(8)

    async def one(number: int) -> None:
        async with limit:
            body = {"title": f"Doc {number}", "content": f"It says {saying(number)}, and nothing else."}
            (await client.post(f"/agents/{agent}/docs", json=body)).raise_for_status()

    await asyncio.gather(*[one(number) for number in range(first, first + count)])


async def all_done(database: Any) -> None:
    """Return once no doc waits for vectors."""
    await until(lambda: database.fetchval(f"SELECT ({INCOMPLETE}) = 0"), limit_s=60)


async def assert_whole(database: Any, count: int) -> None:
    """Each chunk has one vector of the active embedder and none of others, and each job says so."""
    rows = await database.fetch(OWN)
    assert len(rows) == count
    assert {tuple(row) for row in rows} == {(1, 0)}
    assert [tuple(row) for row in await database.fetch(JOBS)] == [("succeeded", 100, count)]


def indexed_by(process: ServerProcess) -> int:
    """How many docs a process says it has indexed."""
    return sum(json.loads(line)["docs"] for line in process.log if '"docs indexed"' in line)


async def searched(client: Client, agent: str, words: str, **more: Any) -> list[str]:
    answer = (await client.post(f"/agents/{agent}/search", json={"text": words, "limit": 50, **more})).raise_for_status().json()
    assert answer["warnings"] == []
    return [doc["title"] for doc in answer["docs"]]


async def freeze(process: ServerProcess, database: Any) -> None:
    """Stop a process where it is in no transaction: the locks of one would be held until PostgreSQL ends it."""

    async def is_frozen() -> bool:
        os.kill(process.pid, signal.SIGSTOP)
        if await database.fetchval(IN_TRANSACTION) == 0:
            return True
        os.kill(process.pid, signal.SIGCONT)
        return False

    await until(is_frozen)
