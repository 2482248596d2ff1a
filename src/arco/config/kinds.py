"""Kinds of values: each turns trimmed text into a value or says in plain words what is wrong with it.

Pure. Messages follow the name of the variable in a report, so they begin in lower case and name the fix; they never
repeat a secret (operations.md 1.1, 1.2).
"""

import binascii
import ipaddress
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

from arco.core.retention import InvalidPolicy, RetentionPolicy, parse_policy
from arco.core.scope import Scope

Parse = Callable[[str], Any]
"""Text to value. Raises `BadValue`."""

SECRET_BYTES_MIN: Final = 32
PORT_MAX: Final = 65_535
_SHOWN_CHARS_MAX: Final = 60

RSA_BITS_MIN: Final = 2_048
_PEM_BLOCK: Final = re.compile(r"-----BEGIN [A-Z ]*PUBLIC KEY-----.*?-----END [A-Z ]*PUBLIC KEY-----", re.DOTALL)
_TRUE: Final = frozenset({"true", "1", "yes", "y"})
_FALSE: Final = frozenset({"false", "0", "no", "n"})
_DIGITS: Final = re.compile(r"[0-9]{1,18}\Z")
_URL: Final = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[^?#\s]*)?\Z")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?\Z")
_STORAGE: Final = re.compile(r"([a-z0-9]+)://(.*)\Z", re.DOTALL)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,220}[a-z0-9]\Z")
_CLOUD_SCHEMES: Final = frozenset({"gs", "gcs", "s3", "s3a", "az", "azure"})
_SCOPE_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")


class BadValue(Exception):
    """Text that is not a value of its kind; `message` goes after the variable's name."""

    def __init__(self, message: str, code: str = "E-INVALID") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def text(value: str) -> str:
    """Any text."""
    return value


def flag(value: str) -> bool:
    """true/1/yes/y or false/0/no/n in any case."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise BadValue("must be a boolean (true/false/1/0)")


def integer(low: int, high: int | None = None) -> Parse:
    """ASCII digits within `low..high`."""

    def parse(value: str) -> int:
        if not _DIGITS.match(value):
            raise BadValue(f"must be a whole number (got {shown(value)})")
        number = int(value)
        if high is not None and not low <= number <= high:
            raise BadValue(f"must be between {low} and {high} (got {number})", "E-RANGE")
        if number < low:
            raise BadValue("must be greater than zero" if low == 1 else f"must be at least {low}", "E-RANGE")
        return number

    return parse


def port(value: str) -> int:
    """A TCP port, 0 for any free one; knows the trap of Kubernetes service links."""
    if value.startswith("tcp://"):
        raise BadValue("looks like a Kubernetes service link; set enableServiceLinks: false")
    if not _DIGITS.match(value) or int(value) > PORT_MAX:
        raise BadValue(f"must be a port from 1 to {PORT_MAX}, or 0 for any free port (got {shown(value)})", "E-RANGE")
    return int(value)


def choice(*options: str) -> Parse:
    """One of a few words, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in options:
            raise BadValue(f"must be one of {', '.join(options)} (got {shown(value)})")
        return value.lower()

    return parse


def url(value: str) -> str:
    """An absolute http(s) URL without user, query and fragment; no trailing slash is kept."""
    if "@" in value:
        raise BadValue("must not contain a user or password")
    if "?" in value or "#" in value:
        raise BadValue("must not contain a query or a fragment")
    found = _URL.match(value)
    if found is None or int(found[3] or 1) not in range(1, PORT_MAX + 1):
        raise BadValue("must be an absolute http:// or https:// URL")
    return value.rstrip("/")


def urls(value: str) -> tuple[str, ...]:
    """A comma list of URLs."""
    return tuple(url(item) for item in words(value))


def url_parts(value: str) -> tuple[str, str, str]:
    """Scheme, host (lower case, no brackets) and path of a parsed `url`."""
    found = _URL.match(value)
    if found is None:
        raise BadValue("must be an absolute http:// or https:// URL")
    return found[1], found[2].strip("[]").lower().rstrip("."), found[4] or "/"


def storage(value: str) -> str:
    """`gs://`, `s3://`, `az://`, `file://`, `memory://`, or a bare bucket name (GCS)."""
    found = _STORAGE.match(value)
    if found is None:
        if not _BUCKET.match(value):
            raise BadValue("must be gs://bucket, s3://bucket, az://container, file:///path, or a bare GCS bucket name")
        return f"gs://{value}"
    scheme, rest = found[1], found[2]
    if scheme in _CLOUD_SCHEMES:
        if not _BUCKET.match(rest.partition("/")[0]):
            raise BadValue(f"must name a bucket after {scheme}://")
    elif scheme == "file":
        if not rest:
            raise BadValue("must name a folder after file://")
    elif scheme != "memory":
        raise BadValue(f"must begin with gs://, s3://, az://, file:// or memory:// (got {shown(scheme)}://)")
    return value


def secret(value: str) -> str:
    """A secret of at least 32 bytes."""
    if len(value.encode()) < SECRET_BYTES_MIN:
        raise BadValue(f"must be at least {SECRET_BYTES_MIN} bytes", "E-SECRET")
    return value


def base64_key(value: str) -> bytes:
    """Base64 of at least 32 bytes."""
    try:
        key = b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise BadValue("must be base64", "E-SECRET") from None
    if len(key) < SECRET_BYTES_MIN:
        raise BadValue(f"must be base64 of at least {SECRET_BYTES_MIN} bytes", "E-SECRET")
    return key


def public_pem(value: str) -> str:
    r"""Public keys in PEM, one after the other; a literal `\n` counts as a line end (catalog.md 5.3)."""
    pem = value.replace("\\n", "\n").strip()
    if "PRIVATE KEY-----" in pem:
        raise BadValue("is a private key; give only the public key", "E-SECRET")
    if not (pem.startswith("-----BEGIN ") and "-----END " in pem and "PUBLIC KEY-----" in pem):
        raise BadValue("must be a public key in PEM (-----BEGIN PUBLIC KEY-----)")
    for block in pem_blocks(pem):
        _check_public_key(block)
    return pem


def pem_blocks(pem: str) -> tuple[str, ...]:
    """The keys of a PEM text, one by one."""
    return tuple(_PEM_BLOCK.findall(pem))


def _check_public_key(block: str) -> None:
    # Nobody without public keys pays for the import.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # PEM keys only
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415  # PEM keys only
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415  # PEM keys only

    try:
        key = load_pem_public_key(block.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadValue("holds a public key that cannot be read") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN:
        return
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        raise BadValue(f"must hold RSA keys of at least {RSA_BITS_MIN} bits, or keys on the curve P-256", "E-SECRET")


def words(value: str) -> tuple[str, ...]:
    """A comma list; blanks dropped."""
    return tuple(item.strip() for item in value.split(",") if item.strip())


def chosen_words(*options: str) -> Parse:
    """A comma list of known words."""

    def parse(value: str) -> tuple[str, ...]:
        found = words(value.lower())
        strange = [item for item in found if item not in options]
        if strange or not found:
            raise BadValue(f"must be a comma list of {', '.join(options)} (got {shown(value)})")
        return found

    return parse


def origins(value: str) -> tuple[str, ...]:
    """A comma list of origins, or `*` alone."""
    found = words(value)
    if "*" in found and len(found) > 1:
        raise BadValue("must be '*' alone or a comma list of origins, not both")
    for item in found:
        if item != "*" and not _ORIGIN.match(item.lower()):
            raise BadValue(f"must hold origins such as https://console.example.com (got {shown(item)})")
    return tuple(item.lower() for item in found)


def cidrs(value: str) -> tuple[str, ...]:
    """A comma list of address ranges, none of which is everything."""
    found = words(value)
    for item in found:
        try:
            network = ipaddress.ip_network(item)
        except ValueError:
            raise BadValue(f"must be a comma list of CIDR ranges (got {shown(item)})") from None
        if network.prefixlen == 0:
            raise BadValue(f"must not trust every address ({item})")
    return found


def scope_id(value: str) -> str:
    """A tenant or workspace id for a process that serves one scope."""
    if not _SCOPE_ID.match(value):
        raise BadValue(f"must match [a-z0-9][a-z0-9_-]{{0,62}} (got {shown(value)})")
    return value


def scope_pair(value: str) -> Scope:
    """`tenant/workspace`."""
    tenant, slash, workspace = value.partition("/")
    if not slash:
        raise BadValue(f"must be tenant/workspace (got {shown(value)})")
    return Scope(scope_id(tenant), scope_id(workspace))


def queue_name(value: str) -> str:
    """The name of a task queue."""
    if not re.match(r"[A-Za-z0-9-]{1,100}\Z", value):
        raise BadValue(f"must match [A-Za-z0-9-]{{1,100}} (got {shown(value)})")
    return value


def mount_prefix(value: str) -> str:
    """A path prefix that shadows nothing of ours."""
    if not value.startswith("/") or value.rstrip("/") == "":
        raise BadValue("must start with '/' and must not be '/'")
    first = value.split("/")[1]
    if first in ("health", "ready", "metrics", "version", "openapi.json", "docs"):
        raise BadValue(f"must not shadow /{first}")
    return value.rstrip("/")


def shown(value: str) -> str:
    """`value` as a report shows it: printable, short."""
    clean = "".join(char if char.isprintable() else "?" for char in value)
    return clean if len(clean) <= _SHOWN_CHARS_MAX else clean[:_SHOWN_CHARS_MAX] + "…"


def retention_policy(text: str) -> RetentionPolicy:
    """A preset of the retention policy, or a policy as JSON. Raises `BadValue`."""
    try:
        return parse_policy(text)
    except InvalidPolicy as bad:
        raise BadValue(bad.message) from bad
