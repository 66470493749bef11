"""Google Sheets: cells of spreadsheets, read and written as a service account.

Source: Google's reference of `spreadsheets.values`; the names of what is given are the original's.
"""

import re
from urllib.parse import quote

from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers, google_account
from mentha.tools.integrations.service import Question, Service

BASE_URL = "https://sheets.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/spreadsheets"
_ID = re.compile(r"[\w-]{1,200}", re.ASCII)


async def read_values(service: Service) -> JsonValue:
    """`range`, `major_dimension`, `values`."""
    return _range(await _ask(service, _values(service), query=_reading(service)))


async def batch_read(service: Service) -> JsonValue:
    """`spreadsheet_id` and `value_ranges`."""
    found = await _ask(service, "values:batchGet", query={**_reading(service), "ranges": service.arguments["ranges"]})
    return {
        "spreadsheet_id": found.get("spreadsheetId"),
        "value_ranges": [_range(each) for each in answers.objects(found.get("valueRanges"))],
    }


async def write_values(service: Service) -> JsonValue:
    """What was updated, and the new values where `include_values_in_response` is true."""
    # The same cells get the same values.
    done = await _ask(service, _values(service), method="PUT", query=_writing(service), json=_cells(service), again=True)
    return _updated(done)


async def append_values(service: Service) -> JsonValue:
    """What was updated. Never sent twice by itself: there would be two rows."""
    query = {**_writing(service), "insertDataOption": service.arguments["insert_data_option"]}
    done = await _ask(service, f"{_values(service)}:append", method="POST", query=query, json=_cells(service))
    return _updated(answers.member(done, "updates"))


async def clear_values(service: Service) -> JsonValue:
    """`spreadsheet_id` and `cleared_range`."""
    done = await _ask(service, f"{_values(service)}:clear", method="POST", json={}, again=True)
    return {"spreadsheet_id": done.get("spreadsheetId"), "cleared_range": done.get("clearedRange")}


async def batch_write(service: Service) -> JsonValue:
    """Totals of what was updated, and `responses`, one a range."""
    data = [
        {"range": each["range"], "majorDimension": each.get("major_dimension") or "ROWS", "values": each["values"]}
        for each in service.arguments["data"]
    ]
    body = {
        "valueInputOption": service.arguments["value_input_option"],
        "includeValuesInResponse": service.arguments["include_values_in_response"],
        "data": data,
    }
    done = await _ask(service, "values:batchUpdate", method="POST", json=body, again=True)
    totals = {f"total_updated_{name}": done.get(f"totalUpdated{name.capitalize()}", 0) for name in ("rows", "columns", "cells", "sheets")}
    responses = [_updated(each) for each in answers.objects(done.get("responses"))]
    return {"spreadsheet_id": done.get("spreadsheetId"), **totals, "responses": responses}


async def _ask(
    service: Service, path: str, *, method: str = "GET", query: JsonObject | None = None, json: JsonValue = None, again: bool | None = None
) -> JsonObject:
    sheet = service.text("spreadsheet_id")
    if not _ID.fullmatch(sheet):
        raise service.failed("the argument `spreadsheet_id` must be the id in the spreadsheet's address")
    account = google_account.account_of(service)
    token = await google_account.token_of(service, account, SCOPE)
    question = Question(
        method=method,
        url=f"{service.base(BASE_URL)}/v4/spreadsheets/{sheet}/{path}",
        query=query or {},
        headers={"authorization": f"Bearer {token}"},
        json=json,
        again=again,
        passes=(401, 403),
        tries=service.setup.get("default_retry_count") or 3,
    )
    response = await service.ask(question)
    if response.status not in (401, 403):
        return answers.object_of(response, "google_sheets")
    google_account.forget(account, SCOPE)
    message = f"`google_sheets` does not let the account of `service_account_json` do this: share the spreadsheet with {account.email}"
    raise service.failed(message, said=answers.message_of(response), status=response.status)


def _values(service: Service) -> str:
    return f"values/{quote(service.text('range'), safe='')}"


def _reading(service: Service) -> JsonObject:
    given = service.arguments
    return {
        "majorDimension": given["major_dimension"],
        "valueRenderOption": given["value_render_option"],
        "dateTimeRenderOption": given["date_time_render_option"],
    }


def _writing(service: Service) -> JsonObject:
    given = service.arguments
    return {"valueInputOption": given["value_input_option"], "includeValuesInResponse": given["include_values_in_response"]}


def _cells(service: Service) -> JsonObject:
    return {"range": service.text("range"), "majorDimension": "ROWS", "values": service.arguments["values"]}


def _range(found: JsonObject) -> JsonObject:
    # Google leaves `values` out where all cells are empty.
    return {"range": found.get("range"), "major_dimension": found.get("majorDimension"), "values": found.get("values") or []}


def _updated(done: JsonObject) -> JsonObject:
    counts = {f"updated_{name}": done.get(f"updated{name.capitalize()}", 0) for name in ("rows", "columns", "cells")}
    echo = answers.member(done, "updatedData").get("values")
    return {
        "spreadsheet_id": done.get("spreadsheetId"),
        "updated_range": done.get("updatedRange"),
        **counts,
        "updated_values": echo if isinstance(echo, list) else None,
    }


METHODS = {
    "read_values": read_values,
    "write_values": write_values,
    "append_values": append_values,
    "clear_values": clear_values,
    "batch_read": batch_read,
    "batch_write": batch_write,
}
