"""What the claims of a token must look like, whoever it is from (catalog.md 5.1; abuse-cases.md A-05). Pure."""

from collections.abc import Mapping
from typing import Any, Final

from arco.edge.jose import Refused

LEEWAY_S: Final = 60
"""Tolerated difference between the issuer's clock and ours."""

_EXP_MAX: Final = 10**10
"""The year 2286: a larger `exp` is in milliseconds or made up."""


def lifetime_end(claims: Mapping[str, Any], now_s: float, *, issued_at: bool = False) -> float:
    """The second after which the token is no longer good, leeway included. Raises `Refused`.

    `issued_at` makes `iat` required.
    """
    until_s = _seconds(claims, "exp", required=True) + LEEWAY_S
    if until_s <= now_s:
        raise Refused("expired")
    for name in ("nbf", "iat"):
        if _seconds(claims, name, required=issued_at and name == "iat") > now_s + LEEWAY_S:
            raise Refused(f"{name} lies in the future")
    return until_s


def check_origin(claims: Mapping[str, Any], issuer: str | None, audience: str | None) -> None:
    """Raises `Refused` for another issuer, or for a token made for somebody else."""
    if issuer is not None and claims.get("iss") != issuer:
        raise Refused("other issuer")
    if "aud" not in claims and audience is None:
        return
    given = claims.get("aud")
    offered = given if isinstance(given, list) else [given]
    # A token made for somebody else is not for us: `aud` without a configured audience is refused too.
    if audience is None or audience not in offered or not all(isinstance(item, str) for item in offered):
        raise Refused("other audience")


def text_claim(claims: Mapping[str, Any], name: str) -> str:
    """A claim that must be a non-empty text. Raises `Refused`."""
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise Refused(f"{name} must be a non-empty text")
    return value


def list_claim(claims: Mapping[str, Any], name: str) -> list[str]:
    """A claim that is a comma list or a list of texts; nothing when absent. Raises `Refused`."""
    if name not in claims:
        return []
    value = claims[name]
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise Refused(f"{name} must be a text or a list of texts")
    return items


def _seconds(claims: Mapping[str, Any], name: str, *, required: bool) -> float:
    if name not in claims and not required:
        return 0.0
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _EXP_MAX:
        raise Refused(f"{name} must be seconds since the epoch")
    return float(value)
