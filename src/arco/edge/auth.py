"""Who is asking: the ways of catalog.md 5.1, each an `Authenticator` over the single-valued request headers.

Guarantees: a scope comes from exactly one source (claims in JWT modes, headers in the two development modes), and every
scope id passes `core.scope`. Nothing here does I/O; keys are handed in.
"""

import ipaddress
from functools import lru_cache
from typing import Final, Protocol

import msgspec

from arco.core.scope import Scope, scope_from_request
from arco.edge.hygiene import Headers
from arco.edge.refusals import Forbidden, Unauthenticated

LOCAL_TENANT: Final = "local"
LOCAL_WORKSPACE: Final = "default"


class Identity(msgspec.Struct, frozen=True):
    """Somebody with a scope. `principal` is empty for nobody in particular; after `until_ms` it is nobody any more."""

    scope: Scope
    principal: str
    groups: tuple[str, ...] = ()
    until_ms: int | None = None


class Authenticator(Protocol):
    """Decides who is asking."""

    @property
    def audited(self) -> bool:
        """Whether every request that is let in is an audit event."""
        ...

    def identify(self, headers: Headers) -> Identity:
        """The caller. Raises `Unauthenticated`, `Forbidden`, `InvalidScopeId`."""
        ...


class DevelopmentScope:
    """No credentials, loopback only: tenant `local`, workspace `default`, unless headers say otherwise.

    A page in the developer's browser could resolve its own name to 127.0.0.1 and read the catalog; such a request has
    that name in `Host`, which is refused. IP literals and names without a dot cannot be taken over like this.
    """

    audited = False

    def __init__(self, default: Scope | None = None) -> None:
        self._default = Identity(default or Scope(LOCAL_TENANT, LOCAL_WORKSPACE), "")

    def identify(self, headers: Headers) -> Identity:
        """The scope of the headers, or the local one. Raises `Forbidden`, `InvalidScopeId`."""
        check_local_host(headers.get(b"host", b""))
        if not (_SCOPE_HEADERS & headers.keys()):
            return self._default
        scope = scope_from_request(
            header_text(headers, b"x-tenant-id") or self._default.scope.tenant,
            header_text(headers, b"x-workspace-id") or self._default.scope.workspace,
        )
        return Identity(scope, header_text(headers, b"x-user-id"), _groups_header(headers))


class DebugHeaders:
    """`ARCO_DEBUG=true` in dev: the scope is what the headers say, and they are required."""

    audited = True

    def identify(self, headers: Headers) -> Identity:
        """The scope of the headers. Raises `Unauthenticated`, `InvalidScopeId`."""
        for name, shown in ((b"x-tenant-id", "X-Tenant-Id"), (b"x-workspace-id", "X-Workspace-Id")):
            if name not in headers:
                raise Unauthenticated("UNAUTHORIZED", f"missing {shown} header (debug mode)")
        scope = scope_from_request(header_text(headers, b"x-tenant-id"), header_text(headers, b"x-workspace-id"))
        return Identity(scope, header_text(headers, b"x-user-id"), _groups_header(headers))


def bearer(headers: Headers) -> str:
    """The token of `Authorization: Bearer <token>`. Raises `Unauthenticated` (MISSING_AUTH)."""
    value = header_text(headers, b"authorization")
    if not value.startswith("Bearer ") or not value[7:].strip():
        raise Unauthenticated("MISSING_AUTH", "Authorization header required")
    return value[7:].strip()


def group_list(items: list[str]) -> tuple[str, ...]:
    """Groups trimmed, blanks dropped, each kept where it first occurs (catalog.md 1.2)."""
    return tuple(dict.fromkeys(item.strip() for item in items if item.strip()))


_SCOPE_HEADERS: Final = frozenset({b"x-tenant-id", b"x-workspace-id", b"x-user-id", b"x-groups"})


def _groups_header(headers: Headers) -> tuple[str, ...]:
    return group_list(header_text(headers, b"x-groups").split(","))


def header_text(headers: Headers, name: bytes) -> str:
    """A header's value as text, trimmed; empty when it is absent."""
    return headers.get(name, b"").decode("latin-1").strip()


@lru_cache(maxsize=256)  # every request asks, clients use a handful of names; a refusal is not remembered
def check_local_host(host: bytes) -> None:
    """Raises `Forbidden` for a `Host` that a web page may have made to mean this machine."""
    name = host.decode("latin-1").strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    name = name.rstrip(".")
    if "." not in name and ":" not in name:
        return
    if name.endswith(".localhost"):
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise Forbidden(
            "Without credentials this server answers only to local names; use 127.0.0.1 or localhost"
        ) from None
