"""V4 signed URLs as the provider checks them ("V4 signing process", "Signed URLs" of Google's documentation).

Written from the documentation, apart from `arco.storage.signing`, so that the two check each other.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ALGORITHM = "GOOG4-RSA-SHA256"
EXPIRES_MAX = 604_800


class Denied(Exception):
    """The provider's XML error for a request with a signature: status and code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


def check(method: str, target: str, headers: Mapping[str, str], keys: Mapping[str, str]) -> None:
    """Raise `Denied` unless the request is signed, by a known key, for exactly this, and not too old."""
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.get("X-Goog-Algorithm") != ALGORITHM:
        raise Denied(403, "AccessDenied")
    email, _, scope = query.get("X-Goog-Credential", "").partition("/")
    began = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    life = int(query["X-Goog-Expires"])
    if not 0 < life <= EXPIRES_MAX:
        raise Denied(400, "AuthenticationRequired")
    if email not in keys or scope != f"{began:%Y%m%d}/auto/storage/goog4_request":
        raise Denied(403, "SignatureDoesNotMatch")
    text = _text_to_sign(method, parts.path, parts.query, headers, query)
    key = serialization.load_pem_public_key(keys[email].encode())
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        signature = bytes.fromhex(query.get("X-Goog-Signature", ""))
        key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        raise Denied(403, "SignatureDoesNotMatch") from None
    if datetime.now(UTC) > began + timedelta(seconds=life):
        raise Denied(400, "ExpiredToken")


def _text_to_sign(method: str, path: str, query: str, headers: Mapping[str, str], signed: Mapping[str, str]) -> str:
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "X-Goog-Signature"
    )
    names = signed["X-Goog-SignedHeaders"].split(";")
    if "host" not in names:
        raise Denied(400, "InvalidRequest")
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in names)
    canonical = "\n".join(
        (method, path, "&".join(f"{name}={value}" for name, value in pairs), lines, ";".join(names), "UNSIGNED-PAYLOAD")
    )
    scope = signed["X-Goog-Credential"].partition("/")[2]
    return "\n".join((ALGORITHM, signed["X-Goog-Date"], scope, hashlib.sha256(canonical.encode()).hexdigest()))
