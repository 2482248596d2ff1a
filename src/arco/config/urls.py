"""Which addresses a server may call on somebody's word: none that only machines like this one can reach. Pure.

The rule is applied twice: to the URL when it is configured or stored, and to every address its name resolves to when it
is used (abuse-cases.md A-09, A-10). One sentence for all refusals, so that they do not tell what is reachable.
"""

import ipaddress
from typing import Final

from arco.config.kinds import BadValue, url, url_parts

WORDING: Final = "must be an https:// URL of a public host"
_PORTS: Final = frozenset({80, 443})
_UNPRIVILEGED: Final = 1_024
_LOCAL_ENDINGS: Final = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa")
_METADATA_NAMES: Final = ("metadata.google.internal", "metadata", "instance-data")
_METADATA_V6: Final = "fd00:ec2::254"
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_V4_COMPATIBLE: Final = ipaddress.ip_network("::/96")


def outbound_url(text: str, *, loopback: bool = False) -> str:
    """The URL, if it may be called; `loopback` also lets http and this very machine through. Raises `BadValue`."""
    try:
        scheme, host, _ = url_parts(url(text))
        port = port_of(text)
    except BadValue:
        raise BadValue(WORDING) from None
    if loopback and is_loopback(host):
        return text.rstrip("/")
    fine = scheme == "https" and (port in _PORTS or port >= _UNPRIVILEGED) and _public_name(host)
    if not fine:
        raise BadValue(WORDING)
    return text.rstrip("/")


def port_of(text: str) -> int:
    """The port a parsed URL names, or its scheme's own."""
    scheme, _, rest = text.partition("://")
    authority = rest.partition("/")[0]
    _, colon, port = authority.rpartition(":")
    if colon and port.isdigit():
        return int(port)
    return 443 if scheme == "https" else 80


def may_call(address: str, *, loopback: bool = False) -> bool:
    """True for an IP address that everybody can reach, whatever form it hides in."""
    try:
        given = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if loopback and given.is_loopback:
        return True
    return all(one.is_global and not one.is_multicast for one in _meant(given))


def is_loopback(host: str) -> bool:
    """True for an address or name that only this machine reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_forbidden_target(text: str) -> bool:
    """True for a URL nothing is ever sent to, private networks or not: metadata servers, link-local, nobody's address.

    Addresses in any but their one usual spelling count too: resolvers read them, and people do not.
    """
    host = url_parts(text)[1]
    last = host.rpartition(".")[2]
    if not (":" in host or last.isdigit() or last.startswith("0x")):
        return host in _METADATA_NAMES
    try:
        given = ipaddress.ip_address(host)
    except ValueError:
        return True
    return any(
        one.is_link_local or one.is_multicast or one.is_unspecified or str(one) == _METADATA_V6 for one in _meant(given)
    )


def _public_name(host: str) -> bool:
    labels = host.split(".")
    if ":" in host or labels[-1].isdigit() or labels[-1].startswith("0x"):
        return may_call(host)  # an address, in the one spelling of addresses
    return len(labels) > 1 and all(labels) and not host.endswith(_LOCAL_ENDINGS)


def _meant(
    given: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address, and the IPv4 address that it stands for."""
    if isinstance(given, ipaddress.IPv4Address):
        return [given]
    inner = given.ipv4_mapped or given.sixtofour or (given.teredo[1] if given.teredo else None)
    if inner is None and (given in _NAT64 or given in _V4_COMPATIBLE):
        inner = ipaddress.IPv4Address(int(given) & 0xFFFFFFFF)
    if given.ipv4_mapped is not None:
        return [given.ipv4_mapped]
    return [given] if inner is None else [given, inner]
