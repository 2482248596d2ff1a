"""The tenant and workspace a request belongs to (catalog.md 1.1)."""

import re
from typing import Final

import msgspec

_ID: Final = re.compile(r"[a-z0-9_-]+\Z")


class InvalidScopeId(Exception):
    """A tenant or workspace id that no storage prefix may be made of."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(field, value)
        self.field = field
        self.value = value


class Scope(msgspec.Struct, frozen=True, gc=False):
    """One workspace of one tenant: the unit of catalog state. Ids are lower-case `a-z 0-9 - _`."""

    tenant: str
    workspace: str

    def __post_init__(self) -> None:
        for field, value in (("tenant_id", self.tenant), ("workspace_id", self.workspace)):
            if not _ID.match(value):
                raise InvalidScopeId(field, value)

    @property
    def prefix(self) -> str:
        """The storage prefix of everything in this scope, with its trailing slash."""
        return f"tenant={self.tenant}/workspace={self.workspace}/"


SCOPES_PREFIX: Final = "tenant="
"""What every key of every scope begins with."""

_OF_KEY: Final = re.compile(r"tenant=([^/]+)/workspace=([^/]+)/.")


def scope_of_key(key: str) -> Scope | None:
    """The scope an object of the whole store belongs to, None when that is none."""
    found = _OF_KEY.match(key)
    try:
        return None if found is None else Scope(found[1], found[2])
    except InvalidScopeId:
        return None


def scope_from_request(tenant: str, workspace: str) -> Scope:
    """The scope a request names: ASCII lower-cased, then validated. Raises `InvalidScopeId`."""
    return Scope(_ascii_lower(tenant), _ascii_lower(workspace))


def _ascii_lower(text: str) -> str:
    return "".join(chr(ord(char) + 32) if "A" <= char <= "Z" else char for char in text)
