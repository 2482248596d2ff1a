"""Fetching from addresses that configuration or callers name: only public ones, and only a bounded answer.

The name is resolved once, every address it has must be one that may be called, and the connection is made to exactly
those; a redirect is an answer like any other and never followed; the body is cut at its limit while it arrives, and the
whole takes a bounded time. No proxy of the environment is used (abuse-cases.md A-09, A-10).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from arco.config.kinds import BadValue, url_parts
from arco.config.urls import WORDING, may_call, outbound_url, port_of

BODY_BYTES_MAX: Final = 1024 * 1024
TIMEOUT_S: Final = 10.0
_OK: Final = 200
_CHUNK: Final = 64 * 1024

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host and port. Raises `OSError`."""


class OutboundFailed(Exception):
    """A fetch that gave nothing; the text never holds what the other side said."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses the machine's resolver knows. Raises `OSError`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Outbound:
    """Fetches public documents. `loopback` also allows this very machine: for development."""

    def __init__(
        self,
        *,
        loopback: bool = False,
        resolver: Resolve = resolve,
        timeout_s: float = TIMEOUT_S,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._loopback = loopback
        self._resolve = resolver
        self._timeout_s = timeout_s
        self._body_bytes_max = body_bytes_max

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body of a 200 answer. Raises `OutboundFailed`."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._got(url, headers or {})
        except TimeoutError:
            raise OutboundFailed(f"no answer within {self._timeout_s:g} seconds") from None

    async def _got(self, url: str, headers: Mapping[str, str]) -> bytes:
        addresses = await self._vetted(url)
        # Imported on first use: most processes never fetch anything.
        import aiohttp  # noqa: PLC0415  # only who fetches keys needs it

        connector = aiohttp.TCPConnector(resolver=_pinned(addresses), use_dns_cache=False, force_close=True)
        session = aiohttp.ClientSession(connector=connector, trust_env=False, auto_decompress=False)
        sent = {"accept": "application/json", "accept-encoding": "identity", **headers}
        try:
            async with session, session.get(url, headers=sent, allow_redirects=False) as response:
                if response.status != _OK:
                    raise OutboundFailed(f"answered {response.status}")
                return await self._body(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise OutboundFailed(f"no answer: {type(error).__name__}") from None

    async def _body(self, response: Any) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise OutboundFailed("answered in an encoding nobody asked for")
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._body_bytes_max:
                raise OutboundFailed(f"answered more than {self._body_bytes_max} bytes")
        return bytes(body)

    async def _vetted(self, url: str) -> Sequence[str]:
        try:
            _, host, _ = url_parts(outbound_url(url, loopback=self._loopback))
        except BadValue:
            raise OutboundFailed(f"the URL {WORDING}") from None
        try:
            addresses = await self._resolve(host, port_of(url))
        except OSError:
            raise OutboundFailed("the host has no address") from None
        if not addresses or not all(may_call(address, loopback=self._loopback) for address in addresses):
            raise OutboundFailed(f"the URL {WORDING}")
        return addresses


def _pinned(addresses: Sequence[str]) -> Any:
    """An aiohttp resolver that knows exactly these addresses, whatever it is asked for."""
    from aiohttp.abc import AbstractResolver, ResolveResult  # noqa: PLC0415  # only who fetches keys needs it

    class Pinned(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in addresses
            ]

        async def close(self) -> None:
            return

    return Pinned()
