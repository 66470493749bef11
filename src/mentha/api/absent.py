"""What the Julep API documents and this version does not have: a clear 501 for each, so that nobody takes it for a wrong address."""

from fastapi import APIRouter

from mentha.api.deps import TenantId
from mentha.core.errors import NotServedYet

router = APIRouter(include_in_schema=False)

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# Path → what it is part of.
ABSENT = {}


def _absent(path: str, what: str) -> None:
    async def not_served(_: TenantId) -> None:
        raise NotServedYet(f"{what} are not in this version of Mentha", fix="see 'What is not there yet' in the README")

    router.add_api_route(path, not_served, methods=_METHODS)


for _path, _what in ABSENT.items():
    _absent(_path, _what)
