"""A server that speaks as much of S3 as a blob store needs, in memory: objects, uploads in parts, ranges, deletions. It believes every signature."""

import asyncio
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from mentha.core.ids import new_id

HEAD_BYTES_MAX = 65_536
XML = "<?xml version='1.0'?><{name}>{body}</{name}>"


@dataclass
class S3Server:
    """What it holds and saw.

    Attributes:
        objects: by path, bucket included.
        uploads: begun and not ended, by id.
        signed: whether each request carried a signature.
        failing: answer everything with a 503.
    """

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    signed: list[bool] = field(default_factory=list)
    failing: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers."""
        parts = urlsplit(target)
        key, query = unquote(parts.path).lstrip("/"), parse_qs(parts.query, keep_blank_values=True)
        upload = query.get("uploadId", [""])[0]
        self.requests.append(f"{method} {key}{'?' if query else ''}{'&'.join(sorted(query))}")
        self.signed.append(headers.get("authorization", "").startswith("AWS4-HMAC-SHA256 "))
        if self.failing:
            return 503, b"", {}
        if "delete" in query:
            return self._deleted(key, body)
        if method == "POST":
            return self._begun(key) if "uploads" in query else self._completed(key, upload, body)
        if method == "PUT":
            return self._put(key, body, upload, query)
        if method == "DELETE":
            self.uploads.pop(upload)
            return 204, b"", {}
        return self._got(key, headers.get("range"))

    def _deleted(self, bucket: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
        for key in keys:
            self.objects.pop(f"{bucket.rstrip('/')}/{key}", None)
        inner = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        return 200, XML.format(name="DeleteResult", body=inner).encode(), {}

    def _begun(self, key: str) -> tuple[int, bytes, dict[str, str]]:
        upload = new_id().hex
        self.uploads[upload] = {}
        inner = f"<Bucket>b</Bucket><Key>{key}</Key><UploadId>{upload}</UploadId>"
        return 200, XML.format(name="InitiateMultipartUploadResult", body=inner).encode(), {}

    def _completed(self, key: str, upload: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        parts = self.uploads.pop(upload)
        self.objects[key] = b"".join(parts[int(number)] for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body))
        inner = f"<ETag>{_etag(self.objects[key])}</ETag>"
        return 200, XML.format(name="CompleteMultipartUploadResult", body=inner).encode(), {}

    def _put(self, key: str, body: bytes, upload: str, query: dict[str, list[str]]) -> tuple[int, bytes, dict[str, str]]:
        if upload:
            self.uploads[upload][int(query["partNumber"][0])] = body
        else:
            self.objects[key] = body
        return 200, b"", {"etag": _etag(body)}

    def _got(self, key: str, wanted: str | None) -> tuple[int, bytes, dict[str, str]]:
        if key not in self.objects:
            return 404, XML.format(name="Error", body="<Code>NoSuchKey</Code>").encode(), {}
        whole = self.objects[key]
        more = {"etag": _etag(whole), "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted or "")
        if found is None:
            return 200, whole, more
        begin, end = int(found[1]), min(int(found[2]) + 1, len(whole))
        return 206, whole[begin:end], {**more, "content-range": f"bytes {begin}-{end - 1}/{len(whole)}"}


@contextlib.asynccontextmanager
async def s3_server() -> AsyncIterator[S3Server]:
    """A running one, on a free port of loopback."""
    server, tasks = S3Server(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, target, _ = head[0].split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, answer, more = server.answer(method, target, headers, body)
                lines = "".join(f"{name}: {value}\r\n" for name, value in {"content-length": str(len(answer)), **more}.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + (b"" if method == "HEAD" else answer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=HEAD_BYTES_MAX) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'
