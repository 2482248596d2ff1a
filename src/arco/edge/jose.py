"""Signed tokens opened: a strict reading of the header, one key found for it, the signature checked by joserfc.

Guarantees: the algorithm is one that was configured *and* the key's own, whatever the header says; what a header may
point to (`jku`, `jwk`, `x5u`, `x5c`) is never followed; `crit` is refused; a name given twice in header or payload is
refused; `kid` is only ever compared with those of known keys. Nothing here does I/O.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from arco.core.errors import InvalidInput
from arco.edge.codec import check_json

TOKEN_CHARS_MAX: Final = 16 * 1024
KID_CHARS_MAX: Final = 256

HS256: Final = "HS256"
RS256: Final = "RS256"
ES256: Final = "ES256"
ALGORITHMS: Final = (HS256, RS256, ES256)
RSA_BITS_MIN: Final = 2_048
_PARTS: Final = 3


class Refused(Exception):
    """Why a token is not good; stays inside, callers learn only that it is not."""


class KeysWanted(Exception):
    """The keys must be fetched (anew) before the token can be judged: await `keys.refresh()` and ask again."""

    def __init__(self, keys: "RefreshedKeys") -> None:
        super().__init__()
        self.keys = keys


class KeysUnavailable(Exception):
    """There are no keys to judge a token with, and fetching them failed: `reason` is for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Key(msgspec.Struct, frozen=True):
    """A verification key and the one algorithm it is for; `value` is joserfc's."""

    algorithm: str
    value: Any


class KeySource(Protocol):
    """Where verification keys are found."""

    def generation(self) -> int:
        """A number that changes whenever a key that was good may not be any more."""
        ...

    def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys a token of this header may be signed with. Raises `Refused`, `KeysWanted`, `KeysUnavailable`."""
        ...


class RefreshedKeys(KeySource, Protocol):
    """Keys that come from elsewhere."""

    async def refresh(self) -> None:
        """Fetch the keys, together with whoever else waits for them; never raises for what the other side does."""
        ...


class StaticKeys:
    """Configured keys, all equally good: two while one of them is being replaced."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def generation(self) -> int:
        """Always the same: configured keys change with the process."""
        return 0

    def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """The keys of this algorithm; a `kid` has no meaning here. Raises `Refused`."""
        found = [key for key in self._keys if key.algorithm == algorithm]
        if not found:
            raise Refused(f"no key for {algorithm}")
        return found


def secret_keys(*secrets: str) -> StaticKeys:
    """Shared secrets for HS256."""
    from joserfc.jwk import OctKey  # noqa: PLC0415  # joserfc and cryptography take 80 ms to import

    return StaticKeys([Key(HS256, OctKey.import_key(secret)) for secret in secrets])


def public_keys(*pems: str) -> StaticKeys:
    """Public keys in PEM: RSA keys are for RS256, P-256 keys for ES256. Raises `ValueError` for any other."""
    from joserfc.errors import JoseError  # noqa: PLC0415  # a server without user tokens does without
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415  # a server without user tokens does without

    keys: list[Key] = []
    for pem in pems:
        try:
            keys.append(key_of(RSAKey.import_key(pem)))
        except JoseError:
            try:
                keys.append(key_of(ECKey.import_key(pem)))
            except JoseError as error:
                raise ValueError("a key must be RSA or on the curve P-256") from error
    return StaticKeys(keys)


def key_of(value: Any) -> Key:
    """A joserfc key with its one algorithm. Raises `ValueError` for a key that is too short or of another curve."""
    if value.key_type == "RSA":
        if value.raw_value.key_size < RSA_BITS_MIN:
            raise ValueError(f"an RSA key must have at least {RSA_BITS_MIN} bits")
        return Key(RS256, value)
    if value.key_type == "EC" and value.curve_name == "P-256":
        return Key(ES256, value)
    raise ValueError("a key must be RSA or on the curve P-256")


def open_token(token: str, keys: KeySource) -> dict[str, Any]:
    """The claims of a token that one of the keys has signed. Raises `Refused`, `KeysWanted`, `KeysUnavailable`."""
    if len(token) > TOKEN_CHARS_MAX:
        raise Refused("longer than any token of ours")
    algorithm, kid = _header(token)
    for key in keys.find(kid, algorithm):
        if key.algorithm != algorithm:
            continue
        payload = _payload(token, key)
        if payload is not None:
            return _object(payload, "payload")
    raise Refused("bad signature")


def _header(token: str) -> tuple[str, str | None]:
    parts = token.split(".")
    if len(parts) != _PARTS:
        raise Refused("not three parts")
    try:
        text = urlsafe_b64decode(parts[0] + "=" * (-len(parts[0]) % 4))
    except (binascii.Error, ValueError):
        raise Refused("the header is not base64url") from None
    header = _object(text, "header")
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise Refused("no algorithm of ours")
    if "crit" in header or "b64" in header or "zip" in header:
        raise Refused("the header asks for what is not understood")
    if kid is not None and not (isinstance(kid, str) and 0 < len(kid) <= KID_CHARS_MAX and kid.isprintable()):
        raise Refused("kid is not a short text")
    return algorithm, kid


def _payload(token: str, key: Key) -> bytes | None:
    from joserfc import jws  # noqa: PLC0415  # a server without user tokens does without
    from joserfc.errors import JoseError  # noqa: PLC0415  # a server without user tokens does without

    try:
        return jws.deserialize_compact(token, key.value, algorithms=[key.algorithm]).payload or b""
    except (JoseError, ValueError, TypeError):
        return None


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        check_json(text)
        return msgspec.json.decode(text, type=dict[str, Any])
    except (InvalidInput, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        raise Refused(f"the {what} is not one JSON object") from None
