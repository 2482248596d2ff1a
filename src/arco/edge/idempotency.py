"""The `Idempotency-Key` rule of catalog.md 3.6: canonical lower-case UUID, RFC 4122 variant, version 7."""

from typing import Final
from uuid import RFC_4122, UUID

from arco.core.canonical_json import sha256_hex
from arco.core.errors import InvalidInput

_VERSION: Final = 7


def checked_key(text: str) -> str:
    """`text` if it is a valid key. Raises `InvalidInput` with the contract's message otherwise."""
    try:
        key = UUID(text)
    except ValueError:
        raise InvalidInput("Idempotency-Key must be a valid UUID") from None
    if key.variant != RFC_4122:
        raise InvalidInput(f"Idempotency-Key must use RFC4122 variant, found {key.variant}")
    if key.version != _VERSION:
        raise InvalidInput(f"Idempotency-Key must be UUIDv7 (RFC 9562), found version {key.version}")
    if str(key) != text:
        raise InvalidInput(f"Idempotency-Key must be the canonical lower-case form: {key}")
    return text


def key_hash(key: str) -> str:
    """The hash a key is stored under: bare hexadecimal SHA-256 of its text."""
    return sha256_hex(key.encode())
