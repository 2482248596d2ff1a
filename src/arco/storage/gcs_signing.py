"""V4 signed URLs of Cloud Storage: by a service account's key, or by asking IAM to sign for the machine's account.

Source: "V4 signing process with your own program" and "Signed URLs" of Google's documentation.
"""

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlsplit

import google.auth.credentials
import google.auth.exceptions
import msgspec
import requests
from google.auth import iam
from google.auth.transport.requests import Request

from arco.core.clock import Clock
from arco.core.limits import SIGNED_URL_TTL_S_MAX
from arco.core.paths import Key
from arco.storage.gcs import GcsStore
from arco.storage.signing import SigningUnavailable

_ALGORITHM: Final = "GOOG4-RSA-SHA256"
_IAM_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class GcsSigner:
    """Signs URLs of one bucket. `credentials` are the store's own unless given."""

    def __init__(self, store: GcsStore, clock: Clock, credentials: Any = None) -> None:
        self._store = store
        self._clock = clock
        self._credentials = credentials if credentials is not None else store.wire.credentials

    async def sign(self, key: Key, ttl_s: int) -> str:
        signer = await self._authority()
        host = self._store.wire.host
        moment = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        scope = f"{moment:%Y%m%d}/auto/storage/goog4_request"
        path = f"/{self._store.bucket}/{quote(self._store.object_name(key), safe='/~')}"
        query = "&".join(
            f"{name}={quote(value, safe='~')}"
            for name, value in (
                ("X-Goog-Algorithm", _ALGORITHM),
                ("X-Goog-Credential", f"{signer.email}/{scope}"),
                ("X-Goog-Date", f"{moment:%Y%m%dT%H%M%SZ}"),
                ("X-Goog-Expires", str(min(ttl_s, SIGNED_URL_TTL_S_MAX))),
                ("X-Goog-SignedHeaders", "host"),
            )
        )
        request = "\n".join(("GET", path, query, f"host:{urlsplit(host).netloc}\n", "host", "UNSIGNED-PAYLOAD"))
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = "\n".join((_ALGORITHM, f"{moment:%Y%m%dT%H%M%SZ}", scope, digest))
        try:
            # A signature takes a millisecond of arithmetic, or a request to IAM: neither belongs on the event loop.
            signature = await asyncio.to_thread(signer.sign, text.encode())
        except (google.auth.exceptions.GoogleAuthError, requests.exceptions.RequestException) as error:
            raise SigningUnavailable(f"no signature could be had: {type(error).__name__}") from error
        return f"{host}{path}?{query}&X-Goog-Signature={signature.hex()}"

    async def _authority(self) -> "_Authority":
        """Whose signature it is and who makes it. Raises `SigningUnavailable`."""
        credentials = self._credentials
        if isinstance(credentials, google.auth.credentials.Signing):
            return _Authority(credentials.signer_email, credentials.sign_bytes)
        email = getattr(credentials, "service_account_email", None)
        if email is None:
            raise SigningUnavailable("the storage's credentials belong to no service account: nothing signs for them")
        if hasattr(credentials, "with_scopes"):
            credentials = credentials.with_scopes([_IAM_SCOPE])
        if email == "default":
            # The machine's account is known by name only once its token was asked for.
            await asyncio.to_thread(_refreshed, credentials)
            email = credentials.service_account_email
        asking: Any = iam.Signer
        return _Authority(email, lambda text: bytes(asking(Request(), credentials, email).sign(text)))


class _Authority(msgspec.Struct, frozen=True):
    email: str
    sign: Callable[[bytes], bytes]


def _refreshed(credentials: Any) -> None:
    try:
        credentials.refresh(Request())
    except (google.auth.exceptions.GoogleAuthError, requests.exceptions.RequestException) as error:
        raise SigningUnavailable(f"the machine's account is not told: {type(error).__name__}") from error
