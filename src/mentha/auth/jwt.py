"""HS512 tokens, which is what the keys of the original's hosted service were: `sub` names the tenant, `exp` is required.

Source: section 1 of the behaviour spec.
"""

from uuid import UUID

import jwt

SECRET_BYTES_MIN = 64


def looks_like_jwt(key: str) -> bool:
    """Whether `key` has the form of a signed token, so that keys of ours are never taken for one."""
    return key.count(".") == 2 and key.startswith("eyJ")


def tenant_of(token: str, secret: str) -> UUID | None:
    """The tenant that a valid token names; None where the token is expired, wrongly signed, or names none."""
    try:
        claims = jwt.decode(token, secret, algorithms=["HS512"], options={"require": ["exp", "sub"], "verify_aud": False})
        return UUID(str(claims["sub"]))
    except (jwt.PyJWTError, ValueError):
        return None
