"""Rules of authentication between roles (catalog.md 5.6, operations.md 1.2)."""

from collections.abc import Mapping
from typing import Any, Final

from arco.config.gather import Draft
from arco.config.kinds import BadValue
from arco.config.urls import is_loopback, outbound_url
from arco.config.variables import ALL, COMPACTOR, DEV

NONE: Final = "none"
STATIC_BEARER: Final = "static_bearer"
GCP_OIDC: Final = "gcp_oidc"

_MODE: Final = "ARCO_INTERNAL_AUTH_MODE"
_ENFORCE: Final = "ARCO_INTERNAL_AUTH_ENFORCE"
_ALLOWLISTS: Final = ("ARCO_INTERNAL_AUTH_ALLOWED_SUBS", "ARCO_INTERNAL_AUTH_ALLOWED_EMAILS")
_ACTIVATING: Final = (_ENFORCE, "ARCO_INTERNAL_AUTH_ISSUER", "ARCO_INTERNAL_AUTH_AUDIENCE", *_ALLOWLISTS)


def internal_mode(values: Mapping[str, Any]) -> str:
    """The mode: as given, and `gcp_oidc` where any of its variables is set (catalog.md 5.6)."""
    mode: str = values.get(_MODE) or NONE
    active = any(values.get(name) for name in _ACTIVATING)
    return GCP_OIDC if mode == NONE and active else mode


def check_internal(draft: Draft) -> None:
    """Rules of whoever serves internal routes."""
    mode = internal_mode(draft.values)
    outside_dev = draft["ARCO_ENVIRONMENT"] != DEV
    if outside_dev:
        draft.values.setdefault(_ENFORCE, mode == GCP_OIDC)
    if mode == GCP_OIDC:
        _check_oidc(draft, outside_dev=outside_dev)
    elif mode == STATIC_BEARER:
        _check_static(draft)
    else:
        _check_none(draft, outside_dev=outside_dev)


def check_outbound(draft: Draft, name: str) -> None:
    """A URL this process fetches from must be of a public host; in dev this machine is one too."""
    value = draft[name]
    if not value:
        return
    try:
        outbound_url(value, loopback=draft["ARCO_ENVIRONMENT"] == DEV)
    except BadValue as bad:
        draft.refuse(name, bad.message)


def _check_oidc(draft: Draft, *, outside_dev: bool) -> None:
    for name in ("ARCO_INTERNAL_AUTH_ISSUER", "ARCO_INTERNAL_AUTH_AUDIENCE"):
        if not draft[name]:
            draft.refuse(name, "required when the mode is gcp_oidc", "E-REQUIRED")
    if not any(draft[name] for name in _ALLOWLISTS):
        both = " or ".join(_ALLOWLISTS)
        draft.refuse(_ALLOWLISTS[0], f"{both} is required when the mode is gcp_oidc", "E-REQUIRED")
    check_outbound(draft, "ARCO_INTERNAL_AUTH_JWKS_URL")
    if outside_dev and not draft[_ENFORCE]:
        draft.warnings.append(f"{_ENFORCE}: false, so callers nobody knows are reported and let in")


def _check_static(draft: Draft) -> None:
    name = "ARCO_INTERNAL_AUTH_STATIC_BEARER_TOKEN"
    if not draft[name]:
        draft.refuse(name, "required when the mode is static_bearer", "E-REQUIRED")
    given = [one for one in _ACTIVATING if one in draft.given]
    if given:
        draft.refuse(given[0], f"is for gcp_oidc, and {_MODE} is static_bearer", "E-CONFLICT")


def _check_none(draft: Draft, *, outside_dev: bool) -> None:
    if outside_dev:
        draft.refuse(_MODE, "must not be none outside dev")
    elif draft.role != ALL and not is_loopback(draft["ARCO_HOST"]):
        draft.refuse(_MODE, f"none is only for a loopback ARCO_HOST (got {draft['ARCO_HOST']})")
    elif draft.role == COMPACTOR and "ARCO_ENVIRONMENT" not in draft.given:
        draft.warnings.append(f"{_MODE}: none, so anybody who reaches this port may compact")
