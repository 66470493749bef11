"""Files by the official client, and what it has no methods for: uploads and downloads as they are. Section 3.4 of the behaviour spec."""

import base64
import hashlib
from typing import Any
from uuid import uuid4

import julep
import pytest
from julep import AsyncJulep, Julep

from tests.support.talk import Client

RAW = bytes(range(256)) * 5
TEXT = base64.b64encode(RAW).decode()


def content_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


async def uploaded(raw: Client, body: bytes, *, name: str = "part.bin", kind: str = "application/x-test", **query: str) -> dict[str, Any]:
    """A new file, sent as it is."""
    answer = await raw.put(f"/files/{uuid4()}/content", params={"name": name, **query}, content=body, headers={"content-type": kind})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_file_created_by_the_sdk_is_given_back_whole_by_every_method(sdk: AsyncJulep) -> None:
    made = await sdk.files.create(name="notes.txt", content=TEXT, description="d", mime_type="text/plain")
    assert (made.name, made.description, made.mime_type, made.project) == ("notes.txt", "d", "text/plain", "default")
    assert (made.size, made.hash, made.content) == (len(RAW), hashlib.sha256(RAW).hexdigest(), TEXT)
    assert await sdk.files.get(made.id) == made
    assert await sdk.files.list() == [made]
    gone = await sdk.files.delete(made.id)
    assert (gone.id, gone.jobs) == (made.id, [])
    assert await sdk.files.list() == []
    with pytest.raises(julep.NotFoundError):
        await sdk.files.get(made.id)
    with pytest.raises(julep.NotFoundError):
        await sdk.files.delete(made.id)


def test_blocking_client_creates_lists_and_deletes_files(blocking: Julep) -> None:
    made = blocking.files.create(name="a", content=TEXT)
    assert [file.id for file in blocking.files.list()] == [made.id]
    assert blocking.files.get(made.id).content == TEXT
    assert blocking.files.delete(made.id).id == made.id


@pytest.mark.parametrize("content", ["", " \n", "A", "AAA", "A===", "AA=A", "A-_A", "data:text/plain;base64,AAAA", "\u00e4bcd", "AAAA=AAA"])
async def test_content_that_is_empty_or_no_base64_is_a_400_that_says_so_and_stores_nothing(sdk: AsyncJulep, content: str) -> None:
    with pytest.raises(julep.BadRequestError) as refused:
        await sdk.files.create(name="a", content=content)
    error: Any = refused.value.response.json()["error"]
    assert error["reason"] == "file_invalid"
    assert error["message"].startswith("content: ")
    assert await sdk.files.list() == []


async def test_base64_with_line_ends_is_taken(sdk: AsyncJulep) -> None:
    made = await sdk.files.create(name="a", content=base64.encodebytes(RAW).decode())
    assert made.content == TEXT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "1.txt"),
        ("name", ""),
        ("name", "x" * 121),
        ("mime_type", "text"),
        ("mime_type", "nonsense/x"),
        ("description", "x" * 16_001),
    ],
)
async def test_field_of_a_file_that_breaks_its_rule_is_a_422_that_names_it(sdk: AsyncJulep, field: str, value: str) -> None:
    fields: Any = {"name": "a", "content": TEXT, field: value}
    with pytest.raises(julep.UnprocessableEntityError) as refused:
        await sdk.files.create(**fields)
    assert field in str(refused.value)


async def test_list_goes_by_metadata_project_owner_and_pages(sdk: AsyncJulep, raw: Client) -> None:
    agent, user = (await sdk.agents.create(name="Mia")).id, (await sdk.users.create()).id
    (await raw.post("/projects", json={"name": "P", "canonical_name": "papers"})).raise_for_status()
    ids = [
        (await raw.post("/files", json={"name": f"f{at}", "content": TEXT, "metadata": {"at": at, "even": at % 2 == 0}, **more})).json()[
            "id"
        ]
        for at, more in enumerate(
            [{}, {"project": "papers"}, {"owner": {"id": agent, "role": "agent"}}, {"owner": {"id": user, "role": "user"}}]
        )
    ]

    async def listed(**query: Any) -> list[int]:
        answer = await raw.get("/files", params=query)
        assert answer.status_code == 200, answer.text
        return [ids.index(file["id"]) for file in answer.json()]

    assert await listed() == [3, 2, 1, 0]
    assert await listed(direction="asc", limit=2, offset=1) == [1, 2]
    assert await listed(metadata_filter='{"even": true}') == [2, 0]
    assert await listed(**{"metadata_filter.at": "3"}) == [3]
    assert await listed(project="papers") == [1]
    assert await listed(agent_id=agent) == [2]
    assert await listed(user_id=user) == [3]
    assert (await raw.get("/files", params={"project": "nowhere"})).status_code == 404
    owned = (await raw.get(f"/files/{ids[2]}")).json()
    assert owned["owner"] == {"id": agent, "role": "agent"}
    await sdk.agents.delete(agent)
    await raw.delete(f"/projects/{(await raw.get('/projects', params={'metadata_filter': '{}'})).json()['items'][0]['id']}")
    assert await listed() == [3, 1, 0]
    assert (await raw.get(f"/files/{ids[1]}")).json()["project"] == "default"


async def test_file_of_an_owner_that_is_not_there_is_a_404(raw: Client) -> None:
    for role in ("agent", "user"):
        answer = await raw.post("/files", json={"name": "a", "content": TEXT, "owner": {"id": str(uuid4()), "role": role}})
        assert answer.status_code == 404


async def test_patch_changes_what_it_names_and_put_replaces_all_but_the_content(raw: Client) -> None:
    made = (await raw.post("/files", json={"name": "a", "content": TEXT, "description": "d", "metadata": {"x": 1}})).json()
    at = f"/files/{made['id']}"
    patched = (await raw.patch(at, json={"mime_type": "text/csv", "metadata": {"y": 2}})).json()
    assert patched == {**made, "content": None, "mime_type": "text/csv", "metadata": {"x": 1, "y": 2}, "updated_at": patched["updated_at"]}
    assert (await raw.patch(at, json={"mime_type": None, "description": None})).json()["mime_type"] is None
    put = (await raw.put(at, json={"name": "b"})).json()
    assert (put["name"], put["description"], put["metadata"], put["hash"]) == ("b", "", {}, made["hash"])
    assert (await raw.get(at)).json()["content"] == TEXT
    assert (
        (await raw.patch(f"/files/{uuid4()}", json={})).status_code
        == (await raw.put(f"/files/{uuid4()}", json={"name": "b"})).status_code
        == 404
    )


async def test_upload_of_twenty_megabytes_comes_back_byte_for_byte_whole_and_in_parts(raw: Client) -> None:
    body = b"".join(at.to_bytes(4, "big") for at in range(5_000_000))
    file = await uploaded(raw, body, name="big.bin")
    assert (file["size"], file["hash"], file["content"], file["mime_type"]) == (
        len(body),
        hashlib.sha256(body).hexdigest(),
        None,
        "application/x-test",
    )
    at = f"/files/{file['id']}/content"
    whole = await raw.get(at)
    assert (whole.status_code, whole.content == body, whole.headers["content-length"]) == (200, True, str(len(body)))
    part = await raw.get(at, headers={"range": "bytes=6000000-16000000"})
    assert (part.status_code, part.content == body[6_000_000:16_000_001]) == (206, True)
    assert part.headers["content-range"] == f"bytes 6000000-16000000/{len(body)}"


async def test_upload_under_an_id_that_is_there_replaces_the_content_and_keeps_the_rest(raw: Client) -> None:
    made = await uploaded(raw, b"one", name="a.txt", kind="text/plain")
    (await raw.patch(f"/files/{made['id']}", json={"description": "d"})).raise_for_status()
    answer = await raw.put(f"/files/{made['id']}/content", content=b"second", headers={"content-type": "application/octet-stream"})
    assert answer.status_code == 200
    changed = answer.json()
    assert (changed["name"], changed["description"], changed["mime_type"], changed["size"]) == ("a.txt", "d", "text/plain", 6)
    assert (await raw.get(f"/files/{made['id']}/content")).content == b"second"
    nameless = await raw.put(f"/files/{uuid4()}/content", content=b"x")
    assert (nameless.status_code, nameless.json()["name"], nameless.json()["mime_type"]) == (201, "file", None)


async def test_upload_that_is_empty_or_a_form_is_a_400(raw: Client) -> None:
    assert (await raw.put(f"/files/{uuid4()}/content", content=b"")).json()["error"]["reason"] == "file_invalid"
    form = await raw.put(f"/files/{uuid4()}/content", files={"file": b"x"})
    assert (form.status_code, form.json()["error"]["message"]) == (400, "the body is a form")


async def test_download_is_never_a_page_and_is_known_by_its_etag(raw: Client) -> None:
    made = await uploaded(raw, b"<script>alert(1)</script>", name="a;b\u200f gr\u00fc\u00df.html", kind="text/html; charset=utf-8")
    at = f"/files/{made['id']}/content"
    whole = await raw.get(at)
    assert whole.headers["x-content-type-options"] == "nosniff"
    assert whole.headers["content-type"] == "text/html"
    assert "sandbox" in whole.headers["content-security-policy"]
    assert whole.headers["content-disposition"] == "attachment; filename=\"a_b_ gr__.html\"; filename*=UTF-8''a%3Bb_%20gr%C3%BC%C3%9F.html"
    tag = whole.headers["etag"]
    assert tag == f'"{made["hash"]}"'
    again = await raw.get(at, headers={"if-none-match": f'W/"x", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    stale = await raw.get(at, headers={"range": "bytes=0-1", "if-range": '"other"'})
    assert (stale.status_code, stale.content) == (200, whole.content)
    beyond = await raw.get(at, headers={"range": "bytes=25-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */25")
    assert beyond.json()["error"]["reason"] == "range_not_satisfiable"


async def test_contents_that_are_too_large_for_one_list_are_left_out_and_refused_where_asked_for(raw: Client) -> None:
    for _ in range(2):
        await uploaded(raw, b"x" * 6_000_000)
    assert [file["content"] for file in (await raw.get("/files")).json()] == [None, None]
    assert (await raw.get("/files", params={"include_content": "true"})).json()["error"]["reason"] == "file_invalid"
    (one,) = (await raw.get("/files", params={"limit": 1, "include_content": "true"})).json()
    assert one["content"] == content_of(b"x" * 6_000_000)
    (bare,) = (await raw.get("/files", params={"limit": 1, "include_content": "false"})).json()
    assert bare["content"] is None
