"""A server whose files are in a bucket: what it does with them, what its limits refuse, and what it says when the bucket is away."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.s3_server import s3_server
from tests.support.server import running
from tests.support.talk import talking, until

LIMIT = 100_000


async def test_files_in_a_bucket_keep_to_their_limits_and_an_absent_bucket_is_a_503(home: Path, database_dsn: str, rows: Any) -> None:
    async with s3_server() as s3:
        settings = {
            "blobs_url": "s3://bucket",
            "blobs_endpoint": s3.url,
            "blobs_access_key_id": "key",
            "blobs_secret_access_key": "hidden-from-all",
            "file_bytes_max": str(LIMIT),
            "file_upload_s": "1",
            "body_bytes_max": "50000",
        }
        environ = {f"MENTHA_{name.upper()}": value for name, value in settings.items()}
        with running(home=home, dsn=database_dsn, environ=environ) as server:
            async with talking(server.url) as client:
                at = f"/files/{uuid4()}/content"
                # Larger than a body of JSON may be.
                body = os.urandom(LIMIT)
                assert (await client.put(at, content=body)).status_code == 201
                assert (await client.get(at, headers={"range": "bytes=99990-"})).content == body[99_990:]
                assert list(s3.objects.values()) == [body]
                for more in (body + b"x", pieces(body + b"x")):
                    answer = await client.put(f"/files/{uuid4()}/content", content=more)
                    assert (answer.status_code, "file_bytes_max" in answer.json()["error"]["fix"]) == (413, True)
                slow = await client.put(f"/files/{uuid4()}/content", content=stalled(rows))
                assert (slow.status_code, slow.json()["error"]["reason"]) == (400, "file_invalid")
                assert list(s3.objects.values()) == [body]
                s3.failing = True
                away = [await client.get(at), await client.put(f"/files/{uuid4()}/content", content=b"x")]
                away.append(await client.post("/files", json={"name": "x", "content": "eA=="}))
                assert [(answer.status_code, answer.headers["x-should-retry"]) for answer in away] == [(503, "true")] * 3
                assert (await client.delete(at.removesuffix("/content"))).status_code == 202
                assert await rows.fetchval("SELECT count(*) FROM files") == 0
        assert not any("hidden-from-all" in line for line in server.log)
        assert not (home / "files").exists()


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    """A body whose length is not declared."""
    for begin in range(0, len(body), 10_000):
        yield body[begin : begin + 10_000]


async def stalled(rows: Any) -> AsyncIterator[bytes]:
    """A body that stops in the middle and ends only when the server has given up: what it refused is doomed at once."""
    yield b"x"
    await until(lambda: rows.fetchval("SELECT count(*) = 2 FROM blobs_pending WHERE doomed"))
