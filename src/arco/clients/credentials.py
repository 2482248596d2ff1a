"""How a role shows another one who it is: nothing in dev, a shared token, or an identity token of the platform.

An identity token comes from the metadata server, for one audience, and is kept until five minutes before it expires;
while a new one cannot be had, the old one is used for as long as it is valid. Source: catalog.md 5.3.
"""

import asyncio
import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec

from arco.core.clock import Clock

METADATA_URL: Final = "http://metadata.google.internal"
_PATH: Final = "/computeMetadata/v1/instance/service-accounts/default/identity"
_FLAVOR: Final = {"Metadata-Flavor": "Google"}
EARLY_MS: Final = 300_000
"""How long before it expires a token is replaced: clocks differ, and a call takes its time."""

REST_MS: Final = 10_000
"""The least time between two tries to replace a token that is still good."""

TIMEOUT_S: Final = 5.0
_BODY_BYTES_MAX: Final = 64 * 1024
_OK: Final = 200


class NoCredentials(Exception):
    """The token cannot be had, so the call was not made."""


class Credentials(Protocol):
    """What goes with a call to another role."""

    async def headers(self) -> Mapping[str, str]:
        """The headers that say who calls. Raises `NoCredentials`."""
        ...

    def refused(self) -> bool:
        """Note that the other role did not accept them; True when new ones may do better."""
        ...


class FixedHeaders:
    """The same headers with every call: a shared token, or none."""

    def __init__(self, token: str | None = None) -> None:
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    async def headers(self) -> Mapping[str, str]:
        """The headers that say who calls."""
        return self._headers

    def refused(self) -> bool:
        """There are no others."""
        return False


class _Expiry(msgspec.Struct, frozen=True):
    exp: float


class IdTokens:
    """Identity tokens of the machine's service account, from the metadata server at `url`."""

    def __init__(self, audience: str, clock: Clock, *, url: str = METADATA_URL) -> None:
        self._audience = audience
        self._clock = clock
        self._url = url.rstrip("/") + _PATH
        self._token = ""
        self._until_ms = 0.0
        self._asked_ms: int | None = None
        self._task: asyncio.Task[str] | None = None

    async def headers(self) -> Mapping[str, str]:
        """The headers that say who calls. Raises `NoCredentials`."""
        return {"authorization": f"Bearer {await self._current()}"}

    def refused(self) -> bool:
        """Forget the token; true unless one was fetched only now."""
        fresh = self._asked_ms is not None and self._clock.steady_ms() - self._asked_ms < REST_MS
        if not fresh:
            self._token = ""
        return not fresh

    async def _current(self) -> str:
        now_ms = self._clock.now_ms()
        if self._token and now_ms < self._until_ms - EARLY_MS:
            return self._token
        rested = self._asked_ms is None or self._clock.steady_ms() - self._asked_ms >= REST_MS
        still_good = bool(self._token) and now_ms < self._until_ms
        if still_good and not rested and self._task is None:
            return self._token
        if self._task is None:
            self._asked_ms = self._clock.steady_ms()
            self._task = asyncio.get_running_loop().create_task(self._fetched())
            self._task.add_done_callback(self._ended)
        try:
            # Whoever gives up waiting must not take the token from the others who wait for it.
            return await asyncio.shield(self._task)
        except NoCredentials:
            if still_good:
                return self._token
            raise

    def _ended(self, task: "asyncio.Task[str]") -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # seen here, so that nobody warns when everybody left

    async def _fetched(self) -> str:
        # Imported on first use: a process without such tokens never pays for the HTTP client.
        import aiohttp  # noqa: PLC0415  # only who asks a metadata server needs it

        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        query = {"audience": self._audience, "format": "full"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.get(self._url, params=query, headers=_FLAVOR, allow_redirects=False) as response,
            ):
                body = await response.content.read(_BODY_BYTES_MAX)
                if response.status != _OK or response.headers.get("Metadata-Flavor") != "Google":
                    raise NoCredentials(f"the metadata server answered {response.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise NoCredentials(f"the metadata server does not answer: {type(error).__name__}") from None
        token = body.decode("ascii", "replace").strip()
        self._until_ms = _expiry_ms(token)
        self._token = token
        return token


def _expiry_ms(token: str) -> float:
    """When the token says it expires; it is not ours to judge beyond that. Raises `NoCredentials`."""
    parts: list[Any] = token.split(".")
    try:
        _, payload, _ = parts
        claims = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return msgspec.json.decode(claims, type=_Expiry).exp * 1000
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise NoCredentials("the metadata server's answer is not a token") from None
