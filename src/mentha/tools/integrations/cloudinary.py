"""Cloudinary: uploading pictures and films, and addresses of changed versions of them.

Source: Cloudinary's "Upload API reference". A changed version is made when its address is asked for first, so `media_edit` asks nothing.
"""

import base64
import re
from urllib.parse import quote

from mentha.core import clock
from mentha.core.json import JsonObject, JsonValue
from mentha.tools.integrations import answers
from mentha.tools.integrations import cloudinary_terms as terms
from mentha.tools.integrations.files import is_url
from mentha.tools.integrations.service import Question, Service

API_URL = "https://api.cloudinary.com"
DELIVERY_URL = "https://res.cloudinary.com"
_CLOUD = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_TYPES = frozenset({"auto", "image", "video", "raw"})


async def media_upload(service: Service) -> JsonValue:
    """`url`, `public_id`, `meta_data` and, where it is wanted, the file as it is stored in `base64`."""
    file = service.text("file")
    if not is_url(file) and not file.startswith("data:"):
        raise service.failed("the argument `file` must be an address (https://…) or a `data:` URL")
    params = _params(service)
    kind = str(params.pop("resource_type", "auto"))
    if kind not in _TYPES:
        raise service.failed("`resource_type` must be one of " + ", ".join(sorted(_TYPES)))
    form = terms.fields({**params, "public_id": service.text("public_id") or params.get("public_id")})
    form["timestamp"] = str(int(clock.now().timestamp()))
    signed = {
        **form,
        "api_key": service.text("cloudinary_api_key"),
        "signature": terms.signature(form, service.text("cloudinary_api_secret")),
    }
    url = f"{service.base(API_URL)}/v1_1/{_cloud(service)}/{kind}/upload"
    done = answers.object_of(await service.ask(Question(method="POST", url=url, form={**signed, "file": file})), "cloudinary")
    where = answers.words(done.get("secure_url") or done.get("url"))
    if not where:
        raise answers.odd("cloudinary")
    return {
        "url": where,
        "public_id": done.get("public_id"),
        "base64": await _fetched(service, where) if service.arguments["return_base64"] else None,
        "meta_data": done,
    }


async def media_edit(service: Service) -> JsonValue:
    """`transformed_url` and, where it is wanted, the changed file in `base64`."""
    steps = terms.transformation(service.arguments["transformation"])
    named = quote(service.text("public_id"), safe="/.-_")
    path = "/".join(part for part in (_cloud(service), _kind(service), "upload", steps, named) if part)
    url = f"{service.base(DELIVERY_URL, 'delivery')}/{path}"
    return {"transformed_url": url, "base64": await _fetched(service, url) if service.arguments["return_base64"] else None}


async def _fetched(service: Service, url: str) -> str:
    return base64.b64encode((await service.ask(Question(url=url))).body).decode()


def _params(service: Service) -> JsonObject:
    return {**(service.setup.get("params") or {}), **(service.arguments.get("upload_params") or {})}


def _kind(service: Service) -> str:
    kind = answers.words((service.setup.get("params") or {}).get("resource_type"))
    return kind if kind in _TYPES and kind != "auto" else "image"


def _cloud(service: Service) -> str:
    name = service.text("cloudinary_cloud_name")
    if not _CLOUD.fullmatch(name):
        raise service.failed("the field `cloudinary_cloud_name` of the tool's `setup` must be letters, digits, `-` and `_`")
    return name


METHODS = {"media_upload": media_upload, "media_edit": media_edit}
