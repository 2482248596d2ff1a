"""One exchange with S3, over the client and the credentials that s3fs makes.

Guarantees: one call is one request; neither s3fs nor botocore tries again by itself, and errors come back as status and
code instead of as whichever `OSError` they resemble. Only this module knows s3fs, and importing it costs more than a
second: it is imported by whoever opens an `s3://` URL.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import botocore.exceptions
import msgspec
from aiobotocore.httpsession import AIOHTTPSession
from s3fs import S3FileSystem

from arco.storage.retries import NoAnswer, NotSent, Patience

CONNECTIONS_MAX: Final = 256
"""Connections of one process: the most requests that are ever under way at once."""

_NOT_SENT: Final = (
    botocore.exceptions.ConnectTimeoutError,
    botocore.exceptions.ProxyConnectionError,
    botocore.exceptions.CredentialRetrievalError,
)
_NO_CREDENTIALS: Final = (
    botocore.exceptions.NoCredentialsError,
    botocore.exceptions.PartialCredentialsError,
    botocore.exceptions.NoRegionError,
)


class _OneRequest(AIOHTTPSession):  # type: ignore[misc]  # published without types
    """The client's session, without the silent second PUT or DELETE when a kept connection breaks."""

    async def _get_session(self, proxy_url: str | None) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = await super()._get_session(proxy_url)
        session._retry_connection = False
        return session


class Reply(msgspec.Struct, frozen=True):
    """What came back: `code` is empty when it is what was asked for, else the provider's word for what is wrong."""

    status: int
    code: str
    message: str
    fields: Mapping[str, Any]
    body: bytes = b""


class S3Wire:
    """Requests about one bucket. `endpoint` is `http(s)://host[:port]` of a store that is not Amazon's."""

    def __init__(self, bucket: str, patience: Patience, *, endpoint: str | None) -> None:
        self._bucket = bucket
        self._transfer_s = patience.transfer_ms / 1000
        self._files = S3FileSystem(
            endpoint_url=endpoint,
            asynchronous=True,
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={
                # Conditions need the fourth version; presigned URLs would otherwise use an older one.
                "signature_version": "s3v4",
                "retries": {"total_max_attempts": 1, "mode": "standard"},
                "connect_timeout": patience.connect_ms / 1000,
                "read_timeout": patience.attempt_ms / 1000,
                "max_pool_connections": CONNECTIONS_MAX,
                "http_session_cls": _OneRequest,
            },
        )

    async def call(self, operation: str, **parameters: Any) -> Reply:
        """One request and its whole answer. Raises `NotSent`, `NoAnswer`."""
        try:
            # The vendor's limits are about silence of the store; one that stops reading would be waited for for ever.
            async with asyncio.timeout(self._transfer_s):
                return await self._answered(operation, parameters)
        except botocore.exceptions.ClientError as error:
            told = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            return Reply(status, str(told.get("Code", "")) or str(status), str(told.get("Message", "")), {})
        except _NO_CREDENTIALS as error:
            return Reply(401, "NoCredentials", f"{error}: see https://boto3.amazonaws.com/v1/documentation", {})
        except _NOT_SENT as error:
            raise NotSent(type(error).__name__) from error
        except botocore.exceptions.EndpointConnectionError as error:
            # The vendor's word for a connection that was never made, and for one reset in the middle of a request.
            unsent = isinstance(error.kwargs.get("error"), aiohttp.ClientConnectorError | socket.gaierror)
            raise (NotSent if unsent else NoAnswer)(type(error).__name__) from error
        except (botocore.exceptions.BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise NoAnswer(type(error).__name__) from error

    async def _client(self) -> Any:
        """The vendor's client. Raises `NotSent` for what keeps it from being made, but for missing credentials."""
        try:
            return await self._files.set_session()
        except _NO_CREDENTIALS:
            raise
        except (botocore.exceptions.BotoCoreError, aiohttp.ClientError, OSError, ValueError) as error:
            raise NotSent(f"the client cannot be made: {type(error).__name__}: {error}") from error

    async def _answered(self, operation: str, parameters: Mapping[str, Any]) -> Reply:
        client = await self._client()
        fields = await getattr(client, operation)(Bucket=self._bucket, **parameters)
        body = b""
        if operation == "get_object":
            async with fields["Body"] as stream:
                body = await stream.read()
        return Reply(fields["ResponseMetadata"]["HTTPStatusCode"], "", "", fields, body)

    async def signed_url(self, name: str, ttl_s: int) -> str:
        """A URL that reads one object for `ttl_s` seconds, whoever asks."""
        client = await self._files.set_session()
        parameters = {"Bucket": self._bucket, "Key": name}
        return str(await client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=ttl_s))

    async def close(self) -> None:
        """End every connection. A later request opens new ones."""
        client, self._files._s3 = self._files._s3, None
        if client is not None:
            await client.close()
