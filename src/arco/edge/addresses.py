"""Which machine a request comes from: the peer, or what proxies that we trust say (abuse case A-37).

A list of forwarding addresses grows at its right end, so it is read from there: each entry was written by the machine
right of it, and is believed while that machine is one of ours. What a caller wrote itself stands further left and is
never reached. `Forwarded` and `X-Real-IP` are not read.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import Scope

UNKNOWN: Final = "unknown"
_HOPS_MAX: Final = 32
_HEADER: Final = b"x-forwarded-for"
_RATE_PREFIX: Final = 64

_Address = IPv4Address | IPv6Address


class ClientAddresses:
    """Tells callers' addresses behind the proxies of these networks; without networks the peer is the caller."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted = tuple(ip_network(each, strict=False) for each in trusted)

    def of(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The address of the caller: `peer`, or the rightmost forwarded address that no trusted proxy has."""
        found = _parsed(peer or "")
        if found is None:
            return UNKNOWN
        if not self._trusted or not self._trusts(found):
            return str(found)
        listed = [entry for name, value in headers if name == _HEADER for entry in value.split(b",")]
        for entry in reversed(listed[-_HOPS_MAX:]):
            hop = _parsed(_without_port(entry.decode("latin-1").strip()))
            if hop is None:
                break
            found = hop
            if not self._trusts(hop):
                break
        return str(found)

    def _trusts(self, address: _Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def client_of(scope: Scope, addresses: ClientAddresses) -> str:
    """The address of the caller of this request."""
    peer = scope.get("client")
    return addresses.of(peer[0] if peer else None, scope["headers"])


def rate_key(address: str) -> str:
    """What is counted for an address: itself, or for IPv6 its /64, which one machine may have all of."""
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _RATE_PREFIX), strict=False))
    return address


def _parsed(text: str) -> _Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
