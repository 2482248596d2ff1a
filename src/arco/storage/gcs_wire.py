"""One exchange with Cloud Storage's JSON API, over the session and the credentials of gcsfs.

Guarantees: one call is one request on the wire. gcsfs's retries and its translation of errors are not used, because
both hide what the port must tell: which request succeeded, and whether an object or a whole bucket is missing. Tokens
are refreshed on a thread, never on the event loop. Only this module knows gcsfs, and importing it costs most of a
second: it is imported by whoever opens a `gs://` URL.
"""

import asyncio
import io
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

import aiohttp
import google.auth.exceptions
import msgspec
import yarl
from gcsfs.core import GCSFileSystem
from gcsfs.credentials import LOCAL_REFRESH_BUFFER
from gcsfs.retry import HttpError, NonRetryableError

import arco
from arco.core.errors import InvalidInput
from arco.storage.retries import NoAnswer, NotSent, Patience

CONNECTIONS_MAX: Final = 256
"""Connections of one process: the most requests that are ever under way at once."""

INLINE_BYTES_MAX: Final = 512 * 1024
"""Larger bodies go to the socket in pieces, so that others have their turn on the event loop."""

USER_AGENT: Final = f"arco/{arco.__version__}"

_NO_CREDENTIALS: Final = (
    "no Google credentials were found: set GOOGLE_APPLICATION_CREDENTIALS to a service account's key file, run on a "
    "machine with a service account, or name an emulator with STORAGE_EMULATOR_HOST"
)


class Answer(msgspec.Struct, frozen=True):
    """What came back, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class GcsWire:
    """Requests about one bucket. `endpoint` is `http(s)://host[:port]`; an emulator is asked without credentials."""

    def __init__(self, bucket: str, patience: Patience, *, endpoint: str | None, token: Any = "google_default") -> None:
        self._patience = patience
        try:
            self._files = GCSFileSystem(
                project="",
                token=token,
                endpoint_url=endpoint,
                asynchronous=True,
                use_listings_cache=False,
                skip_instance_cache=True,
            )
        except google.auth.exceptions.GoogleAuthError:
            raise InvalidInput(_NO_CREDENTIALS) from None
        self.host: str = self._files._location
        self._objects = f"{self.host}/storage/v1/b/{quote(bucket, safe='')}/o"
        self._media = f"{self.host}/download/storage/v1/b/{quote(bucket, safe='')}/o"
        self._uploads = f"{self.host}/upload/storage/v1/b/{quote(bucket, safe='')}/o"

    @property
    def credentials(self) -> Any:
        """The `google.auth` credentials requests are made with, or None for an emulator."""
        return self._files.credentials.credentials

    def object_url(self, name: str, **query: str) -> str:
        """Where an object's metadata is."""
        return f"{self._objects}/{quote(name, safe='')}?{urlencode(query)}"

    def media_url(self, name: str) -> str:
        """Where an object's bytes are."""
        return f"{self._media}/{quote(name, safe='')}?alt=media"

    def list_url(self, **query: str) -> str:
        """Where objects are listed."""
        return f"{self._objects}?{urlencode(query)}"

    def upload_url(self, **query: str) -> str:
        """Where objects are created."""
        return f"{self._uploads}?{urlencode(query)}"

    async def send(
        self, method: str, url: str, *, timeout_ms: int, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One request and its whole answer; `timeout_ms` is how long silence is waited for.

        Raises `NotSent` or `NoAnswer`.
        """
        session = await self._session()
        sent = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **(headers or {})}
        await self._authorize(sent)
        silence = aiohttp.ClientTimeout(
            total=self._patience.transfer_ms / 1000,
            sock_connect=self._patience.connect_ms / 1000,
            sock_read=timeout_ms / 1000,
        )
        # Encoded here and nowhere else: what the client library thinks is equal need not be to the store.
        target = yarl.URL(url, encoded=True)
        try:
            async with session.request(
                method,
                target,
                headers=sent,
                data=(body if len(body) <= INLINE_BYTES_MAX else io.BytesIO(body)) if body else None,
                timeout=silence,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotSent(_sentence(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(_sentence(error)) from error

    def forget_token(self) -> None:
        """Have the next request ask for a new access token: the store did not take this one."""
        if self.credentials is not None:
            self.credentials.token = None

    async def close(self) -> None:
        """End every connection. A later request opens new ones."""
        session, self._files._session = self._files._session, None
        if session is not None:
            await session.close()

    async def _session(self) -> aiohttp.ClientSession:
        if self._files._session is None:
            connector = aiohttp.TCPConnector(limit=CONNECTIONS_MAX)
            self._files.session_kwargs = {"connector": connector}
        session: aiohttp.ClientSession = await self._files._set_session()
        # The library sends a DELETE or PUT again by itself when a kept connection breaks; then one of two succeeds
        # and nobody knows which.
        session._retry_connection = False
        return session

    async def _authorize(self, headers: dict[str, str]) -> None:
        keeper = self._files.credentials
        if keeper.credentials is None:
            return
        if not keeper._credentials_valid(LOCAL_REFRESH_BUFFER):
            try:
                await asyncio.to_thread(keeper.maybe_refresh)
            except (HttpError, NonRetryableError, google.auth.exceptions.GoogleAuthError, OSError) as error:
                if not keeper.credentials.valid:
                    raise NotSent(f"no access token could be had: {type(error).__name__}") from error
        keeper.credentials.apply(headers)


def _sentence(error: Exception) -> str:
    text = str(error) or type(error).__name__
    # A session's address and a signed one are credentials; they stay out of messages.
    return text.partition("?")[0][:200]
