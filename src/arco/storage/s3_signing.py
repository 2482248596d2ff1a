"""Presigned URLs of S3, made by the vendor's client from its own credentials without asking anybody."""

import botocore.exceptions

from arco.core.limits import SIGNED_URL_TTL_S_MAX
from arco.core.paths import Key
from arco.storage.s3 import S3Store
from arco.storage.signing import SigningUnavailable


class S3Signer:
    """Signs URLs of one bucket."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def sign(self, key: Key, ttl_s: int) -> str:
        try:
            return await self._store.wire.signed_url(self._store.object_name(key), min(ttl_s, SIGNED_URL_TTL_S_MAX))
        except botocore.exceptions.BotoCoreError as error:
            raise SigningUnavailable(f"no signature could be had: {type(error).__name__}") from error
