"""Google: tokens for claims that are checked, and cells."""

import base64
import json
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.vendors.vendor import Vendor, form_of, json_of, path_of, query_of, told
from tests.support.wild_server import Seen

TOKEN = "ya29.token-0123456789abcdef"
EMAIL = "bot@project.iam.gserviceaccount.com"


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@cache
def other() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def account(private: rsa.RSAPrivateKey) -> str:
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    found = {"type": "service_account", "client_email": EMAIL, "private_key": pem, "token_uri": "https://oauth2.googleapis.com/token"}
    return base64.b64encode(json.dumps(found).encode()).decode()


def says(seen: Seen) -> bytes:
    if path_of(seen) == "/google_sheets.token":
        return _token(seen)
    if seen.headers.get("authorization") != f"Bearer {TOKEN}":
        return told(
            {"error": {"code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED"}}, 401
        )
    sheet, _, path = path_of(seen).removeprefix("/google_sheets/v4/spreadsheets/").partition("/")
    if sheet == "private":
        return told({"error": {"code": 403, "message": "The caller does not have permission", "status": "PERMISSION_DENIED"}}, 403)
    return told(_cells(seen, sheet, path))


def _token(seen: Seen) -> bytes:
    form = form_of(seen)
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    try:
        claims = jwt.decode(form["assertion"], key().public_key(), algorithms=["RS256"], audience="https://oauth2.googleapis.com/token")
    except jwt.PyJWTError:
        return told({"error": "invalid_grant", "error_description": f"Invalid JWT Signature: {form['assertion']}"}, 400)
    assert claims["iss"] == EMAIL
    assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets"
    return told({"access_token": TOKEN, "expires_in": 3_599, "token_type": "Bearer"})


def _cells(seen: Seen, sheet: str, path: str) -> Any:
    asked = query_of(seen)
    updates = {"spreadsheetId": sheet, "updatedRange": "A!A1:B1", "updatedRows": 1, "updatedColumns": 2, "updatedCells": 2}
    if path == "values:batchGet":
        return {"spreadsheetId": sheet, "valueRanges": [{"range": r, "majorDimension": "ROWS"} for r in asked["ranges"].split(",")]}
    if path == "values:batchUpdate":
        data = json_of(seen)["data"]
        return {"spreadsheetId": sheet, "totalUpdatedRows": len(data), "totalUpdatedCells": 4, "responses": [updates for _ in data]}
    if path.endswith(":append"):
        assert asked["insertDataOption"] == "INSERT_ROWS"
        return {"spreadsheetId": sheet, "tableRange": "A!A1", "updates": updates}
    if path.endswith(":clear"):
        return {"spreadsheetId": sheet, "clearedRange": "A!A1:B1"}
    if seen.method == "PUT":
        assert asked == {"valueInputOption": "RAW", "includeValuesInResponse": "true"}
        return {**updates, "updatedData": {"values": json_of(seen)["values"]}}
    assert path == "values/A%21A1%3AB2"
    return {"range": "A!A1:B2", "majorDimension": asked["majorDimension"], "values": [["Name", "Score"], ["Ann", 95]]}


def vendor() -> Vendor:
    """Its keys are made when they are needed first."""
    return Vendor(
        provider="google_sheets",
        method="read_values",
        setup={"service_account_json": account(key())},
        arguments={"spreadsheet_id": "sheet_1", "range": "A!A1:B2"},
        says=says,
        good={"range": "A!A1:B2", "major_dimension": "ROWS", "values": [["Name", "Score"], ["Ann", 95]]},
        wrong={"service_account_json": account(other())},
        named="service_account_json",
        bases=("token",),
    )
