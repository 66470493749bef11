"""What each service does beside what all of them keep to."""

import base64
from typing import Any

import pytest

from mentha.tools.calls import ToolFailed
from tests.support import vendors
from tests.support.vendors import arxiv, browserbase, cloudinary, google_sheets, llama_parse, mailgun, unstructured, wikipedia
from tests.support.vendors.calling import Caller, calling
from tests.support.vendors.vendor import form_of, json_of, path_of, query_of, told
from tests.support.wild_server import answer


async def refusal(call: Caller, *args: Any, **given: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as failed:
        await call(*args, **given)
    return failed.value


# --- setup and arguments


async def test_tool_without_setup_takes_the_secret_of_the_tenant_before_the_key_of_the_operator() -> None:
    vendor = vendors.named("brave")
    right = vendor.setup["brave_api_key"]
    async with calling(vendor, integration_setups={"brave": {"brave_api_key": "the operators wrong key"}}) as call:
        assert not (await refusal(call, setup={})).retry
        call.secrets["BRAVE_API_KEY"] = right
        assert await call(setup={}) == vendor.good
    async with calling(vendor, integration_setups={"brave": {"brave_api_key": right}}) as call:
        assert await call(setup={}) == vendor.good
        assert not any(right in each for each in call.shown)
    async with calling(vendor) as call:
        error = await refusal(call, setup={})
        assert "`brave_api_key`" in error.message
        assert "`BRAVE_API_KEY`" in error.message


@pytest.mark.parametrize(
    ("name", "setup"),
    [
        ("unstructured", {"server_url": "http://127.0.0.1:1/"}),
        ("browserbase", {"api_url": "http://127.0.0.1:1/"}),
        ("algolia", {"algolia_application_id": "MINE"}),
        ("cloudinary", {"cloudinary_cloud_name": "mine"}),
    ],
)
async def test_key_of_the_operator_goes_to_no_server_and_no_account_that_a_tool_names(name: str, setup: Any) -> None:
    vendor = vendors.named(name)
    keys = {key: value for key, value in vendor.setup.items() if isinstance(value, str)}
    async with calling(vendor, integration_setups={name: keys}) as call:
        error = await refusal(call, setup=setup)
        assert "is not set up" in error.message or "does not accept" in error.message
        assert call.server.seen == []


async def test_argument_that_the_tool_fixes_wins_and_a_wrong_one_is_refused() -> None:
    async with calling(vendors.named("brave")) as call:
        assert len((await call({"query": "tea", "count": 20}, count=1))["result"]) == 1
        assert "`count`" in (await refusal(call, {"query": "tea", "count": 21})).message
        assert "`query`" in (await refusal(call, {"count": 3})).message


async def test_connection_that_breaks_is_made_again_for_what_only_reads() -> None:
    seen: list[int] = []

    async def breaking(request: Any, writer: Any) -> None:
        seen.append(1)
        if len(seen) > 1:
            writer.write(vendors.named("brave").says(request))
            await writer.drain()

    async with calling(vendors.named("brave"), breaking) as call:
        assert (await call())["result"]
        assert len(seen) == 2
        assert len(call.waited) == 1


# --- search


async def test_weather_of_an_unknown_place_is_told_in_the_words_of_the_service() -> None:
    async with calling(vendors.named("weather")) as call:
        assert (await refusal(call, {"location": "Nowhere"})).message.endswith("status 404: city not found")


async def test_wikipedia_gives_as_many_articles_as_wanted_and_none_for_nothing() -> None:
    async with calling(vendors.named("wikipedia")) as call:
        assert await call({"query": "tea", "load_max_docs": 1}) == {"documents": [wikipedia.document(7)]}
        assert await call({"query": "nothing"}) == {"documents": []}
        assert (await refusal(call, {"query": "limited"})).retry


@pytest.mark.parametrize(
    ("status", "code"), [(400, "OPTION_NOT_IN_PLAN"), (404, "SUBSCRIPTION_NOT_FOUND"), (422, "SUBSCRIPTION_TOKEN_INVALID")]
)
async def test_brave_key_that_has_no_plan_is_named_whatever_the_status(status: int, code: str) -> None:
    error = {"id": "1", "status": status, "code": code, "detail": "not in the plan"}
    async with calling(vendors.named("brave"), lambda _: told({"type": "ErrorResponse", "error": error, "time": 1}, status)) as call:
        failed = await refusal(call)
        assert "does not accept `brave_api_key`" in failed.message
        assert "not in the plan" in failed.message
        assert (failed.retry, len(call.server.seen)) == (False, 1)


async def test_brave_query_that_is_refused_is_no_fault_of_the_key() -> None:
    error = {"id": "1", "status": 422, "code": "VALIDATION", "detail": "Unable to validate request parameter(s)"}
    async with calling(vendors.named("brave"), lambda _: told({"type": "ErrorResponse", "error": error, "time": 1}, 422)) as call:
        assert "refused the call with status 422" in (await refusal(call)).message


async def test_arxiv_pdfs_are_fetched_at_the_pace_that_arxiv_asks_for() -> None:
    vendor = vendors.named("arxiv")
    async with calling(vendor, lambda seen: arxiv.feed(arxiv.ENTRY * 9) if "query" in seen.target else vendor.says(seen)) as call:
        found = await call()
        assert all(paper["pdf_downloaded"] for paper in found["result"])
        assert call.waited == [1.0, 1.0]


async def test_arxiv_search_takes_ids_and_tells_of_its_errors() -> None:
    async with calling(vendors.named("arxiv")) as call:
        found = await call({"query": "all:mistral", "max_results": 300_000})
        assert found["result"][0]["pdf_downloaded"] is None
        assert query_of(call.server.seen[-1])["max_results"] == "2000"
        assert "incorrect id format" in (await refusal(call, {"query": "x", "id_list": ["1234"]})).message
        assert "id_list" in (await refusal(call, {"query": "x", "id_list": ["../x"]})).message


@pytest.mark.parametrize(
    "body",
    [
        '<!DOCTYPE feed [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><feed xmlns="http://www.w3.org/2005/Atom">&b;</feed>',
        '<!DOCTYPE feed SYSTEM "http://127.0.0.1/x.dtd"><feed xmlns="http://www.w3.org/2005/Atom"/>',
        "<a>" * 100 + "</a>" * 100,
        '<html xmlns="http://www.w3.org/1999/xhtml"/>',
        '<?xml version="1.0" encoding="nothing"?><feed/>',
    ],
)
async def test_arxiv_feed_that_is_dangerous_or_none_is_refused(body: str) -> None:
    async with calling(vendors.named("arxiv"), lambda _: answer(body=body.encode())) as call:
        assert "documented form" in (await refusal(call)).message
        assert len(call.server.seen) == 1


async def test_spider_answers_in_each_type_and_for_each_method() -> None:
    async with calling(vendors.named("spider")) as call:
        page = {"url": "https://example.com"}
        assert len((await call({**page, "content_type": "application/jsonl"}))["result"]) == 2
        assert (await call({**page, "content_type": "text/csv"}))["result"][0]["content"].startswith("url,content")
        assert (await call({"url": "green tea"}, method="search"))["result"][0]["content"] == "green tea"
        assert (await call(page, method="links"))["result"][0]["links"] == ["https://example.com/b"]
        unpaid = await refusal(call, {"url": "https://example.com/unpaid"})
        assert "Credits" in unpaid.message
        assert not unpaid.retry


async def test_algolia_index_that_does_not_exist_is_told_of() -> None:
    async with calling(vendors.named("algolia")) as call:
        assert "does not exist" in (await refusal(call, {"index_name": "nothing", "query": ""})).message


# --- mail


async def test_mailgun_sends_through_the_domain_of_the_sender_of_the_setup_or_the_one_of_old() -> None:
    async with calling(vendors.named("mailgun")) as call:
        mail = {"to": "bo@example.org", "subject": "Hi", "body": "<p>Tea?</p>", "cc": "cy@example.org"}
        await call({**mail, "from": "ann@example.com"})
        assert form_of(call.server.seen[-1])["html"] == "<p>Tea?</p>"
        assert "bcc" not in form_of(call.server.seen[-1])
        await call({**mail, "from": "ann@old.example"})
        assert [path_of(seen).split("/")[3] for seen in call.server.seen[1:]] == ["old.example", "email.old.example"]
        await call({**mail, "from": "ann@gone.example"}, setup={"api_key": mailgun.KEY, "domain": "mg.example.org"})
        error = await refusal(call, {**mail, "from": "ann@gone.example"})
        assert "`domain`" in error.message
        assert not error.retry
        assert "valid address" in (await refusal(call, {**mail, "to": "bo", "from": "ann@example.com"})).message


# --- documents


async def test_unstructured_gives_csv_where_it_is_asked_for_and_calls_the_server_of_the_setup() -> None:
    vendor = vendors.named("unstructured")
    async with calling(vendor) as call:
        given = {**vendor.arguments, "partition_params": {"output_format": "text/csv"}}
        assert await call(given) == {
            "content_type": "text/csv",
            "status_code": 200,
            "csv_elements": "type,text\nTitle,Tea\n",
            "content": None,
        }
        own = {
            "unstructured_api_key": unstructured.KEY,
            "server_url": call.server.url(target="/own/{place}"),
            "url_params": {"place": "eu"},
        }
        assert (await call(setup=own))["status_code"] == 200
        assert path_of(call.server.seen[-1]) == "/own/eu/general/v0/general"
        assert "base64" in (await refusal(call, {"file": "§"})).message


async def test_llama_parse_waits_for_its_job_and_gives_up_in_time() -> None:
    vendor = vendors.named("llama_parse")
    async with calling(vendor, tool_timeout_s=6.5) as call:
        await call({"file": base64.b64encode(b"Tea").decode()})
        assert call.waited == [1.0]
        error = await refusal(call, {"file": base64.b64encode(b"never").decode()})
        assert error.retry
        assert "MENTHA_TOOL_TIMEOUT_S" in error.message
        assert llama_parse.asked["j/never"] == 2
        broken = await refusal(call, {"file": base64.b64encode(b"broken").decode()})
        assert "The PDF is broken" in broken.message
        assert not broken.retry
        assert "base64" in (await refusal(call, {"file": "/etc/passwd!"})).message


# --- pictures


async def test_cloudinary_upload_is_signed_and_gives_the_file_back_where_it_is_wanted() -> None:
    vendor = vendors.named("cloudinary")
    async with calling(vendor) as call:
        done = await call({**vendor.arguments, "return_base64": True, "public_id": "a&b=c"})
        assert done["public_id"] == "a&b=c"
        assert base64.b64decode(done["base64"]) == cloudinary.FILE
        assert done["meta_data"]["asset_id"] == "a1"
        assert form_of(call.server.seen[0])["tags"] == "a,b"
        assert "`data:` URL" in (await refusal(call, {"file": "/etc/passwd"})).message


async def test_cloudinary_edit_writes_the_address_of_the_changed_picture() -> None:
    steps = [{"width": 300, "crop": "fill", "gravity": "face"}, {"effect": "sepia:60", "flags": ["lossy", "progressive"]}]
    async with calling(vendors.named("cloudinary")) as call:
        made = await call({"public_id": "folder/my cat", "transformation": steps}, method="media_edit")
        path = "w_300,c_fill,g_face/e_sepia:60,fl_lossy.progressive"
        assert made == {
            "transformed_url": call.server.url(target=f"/cloudinary.delivery/demo/image/upload/{path}/folder/my%20cat"),
            "base64": None,
        }
        assert call.server.seen == []
        made = await call({"public_id": "cat", "transformation": [{"angle": 90}], "return_base64": True}, method="media_edit")
        assert base64.b64decode(made["base64"]) == cloudinary.FILE
        assert (
            "`raw_transformation`"
            in (await refusal(call, {"public_id": "cat", "transformation": [{"spin": 1}]}, method="media_edit")).message
        )


# --- browsers


async def test_browserbase_methods_give_what_the_service_has() -> None:
    async with calling(vendors.named("browserbase")) as call:
        one = {"id": "s1"}
        assert await call({}, method="list_sessions") == {"sessions": [browserbase.SESSION]}
        assert await call({"status": "ERROR"}, method="list_sessions") == {"sessions": []}
        assert (await call(one, method="get_session"))["connect_url"] == browserbase.CONNECT
        assert await call(one, method="get_connect_url") == {"connect_url": browserbase.CONNECT}
        assert await call(one, method="complete_session") == {"success": True}
        assert (await call(one, method="get_live_urls"))["urls"]["pages"] == []
        assert await call(one, method="get_logs") == {"logs": [{"method": "Page.navigate"}]}
        assert await call(one, method="get_recordings") == {"recordings": [{"type": 4}]}
        assert base64.b64decode((await call({"id": "s2"}, method="get_session_downloads"))["base64"]) == browserbase.ARCHIVE
        assert (await call({}, method="create_context"))["id"] == "c1"
        extension = {"repositoryName": "ann/blocker", "ref": "v1"}
        assert await call(extension, method="install_extension_from_github") == {"id": "e1"}
        assert "not found" in (await refusal(call, {"id": "../projects"}, method="get_session")).message
        for wrong in ({"repositoryName": "ann/../x"}, {"repositoryName": "ann"}, {"repositoryName": "a/b", "ref": "../x"}):
            assert "owner/name" in (await refusal(call, wrong, method="install_extension_from_github")).message


# --- spreadsheets


async def test_sheets_are_read_and_written_with_one_token() -> None:
    async with calling(google_sheets.vendor()) as call:
        there = {"spreadsheet_id": "sheet_1", "range": "A!A1:B2"}
        cells = {**there, "values": [["Bo", 1.5, None, True]], "value_input_option": "RAW"}
        assert (await call(there))["values"][0] == ["Name", "Score"]
        written = await call({**cells, "include_values_in_response": True}, method="write_values")
        assert written == {
            "spreadsheet_id": "sheet_1",
            "updated_range": "A!A1:B1",
            "updated_rows": 1,
            "updated_columns": 2,
            "updated_cells": 2,
            "updated_values": [["Bo", 1.5, None, True]],
        }
        assert (await call(cells, method="append_values"))["updated_values"] is None
        assert await call(there, method="clear_values") == {"spreadsheet_id": "sheet_1", "cleared_range": "A!A1:B1"}
        read = await call({"spreadsheet_id": "sheet_1", "ranges": ["A1", "B1"]}, method="batch_read")
        assert [each["range"] for each in read["value_ranges"]] == ["A1", "B1"]
        data = [{"range": "A1", "values": [[1]]}, {"range": "B1", "values": [[2]], "major_dimension": "COLUMNS"}]
        wrote = await call({"spreadsheet_id": "sheet_1", "data": data}, method="batch_write")
        assert (wrote["total_updated_rows"], len(wrote["responses"])) == (2, 2)
        assert [each["majorDimension"] for each in json_of(call.server.seen[-1])["data"]] == ["ROWS", "COLUMNS"]
        assert sum(path_of(seen) == "/google_sheets.token" for seen in call.server.seen) == 1


async def test_sheet_that_is_not_shared_with_the_account_is_told_of_with_its_address() -> None:
    async with calling(google_sheets.vendor()) as call:
        error = await refusal(call, {"spreadsheet_id": "private", "range": "A1"})
        assert google_sheets.EMAIL in error.message
        assert not error.retry


async def test_account_of_the_operator_is_used_where_the_tool_says_so_alone() -> None:
    vendor = google_sheets.vendor()
    async with calling(vendor, integration_setups={"google_sheets": vendor.setup}) as call:
        assert await call(setup={"use_julep_service": True}) == vendor.good
        assert "service_account_json" in (await refusal(call, setup={"use_julep_service": False})).message
        assert "service_account_json" in (await refusal(call, setup={"service_account_json": "bm9uZQ=="})).message
        assert len(call.server.seen) == 2


async def test_token_that_is_refused_is_not_used_again() -> None:
    tokens = iter(["first", google_sheets.TOKEN])

    def says(seen: Any) -> bytes:
        if path_of(seen) == "/google_sheets.token":
            return told({"access_token": next(tokens), "expires_in": 3_599})
        return google_sheets.says(seen)

    async with calling(google_sheets.vendor(), says) as call:
        await refusal(call)
        assert (await call())["values"]
