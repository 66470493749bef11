"""Cloudinary: uploads, and the host that gives files out."""

import hashlib
import time

from tests.support.vendors.vendor import Vendor, form_of, path_of, told
from tests.support.wild_server import Seen, answer

KEY, SECRET = "874837483274837", "a676b67565c6767a6767d6767f676fe1"
FILE = b"\x89PNG a picture"


def says(seen: Seen) -> bytes:
    path = path_of(seen)
    if path.startswith("/cloudinary.delivery/"):
        return answer(body=FILE, content_type="image/png")
    form = form_of(seen)
    assert path == "/cloudinary/v1_1/demo/auto/upload"
    assert abs(time.time() - int(form["timestamp"])) < 3_600
    if form["api_key"] != KEY:
        return told({"error": {"message": f"Invalid api_key {form['api_key']}"}}, 401)
    signed = "&".join(f"{name}={form[name].replace('&', '%26')}" for name in sorted(form) if name not in ("file", "api_key", "signature"))
    if form["signature"] != hashlib.sha1((signed + SECRET).encode()).hexdigest():
        return told({"error": {"message": f"Invalid Signature {form['signature']}. String to sign - '{signed}'."}}, 401)
    where = f"http://{seen.headers['host']}/cloudinary.delivery/demo/image/upload/v1/{form['public_id']}.png"
    return told(done(where, form["public_id"]))


def done(where: str, name: str) -> object:
    return {"asset_id": "a1", "public_id": name, "secure_url": where, "bytes": 14}


VENDOR = Vendor(
    provider="cloudinary",
    method="media_upload",
    setup={"cloudinary_api_key": KEY, "cloudinary_api_secret": SECRET, "cloudinary_cloud_name": "demo", "params": {"tags": ["a", "b"]}},
    arguments={"file": "https://example.com/a.png", "public_id": "cat", "upload_params": {"overwrite": True}},
    says=says,
    good=None,
    wrong={"cloudinary_api_secret": "wrong0123456789abcdef"},
    named="cloudinary_api_secret",
    bases=("delivery",),
)
