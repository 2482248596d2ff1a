"""Identifiers: ULID and UUIDv7 as pure functions of time and entropy (catalog.md 1.3, RFC 9562, the ULID spec)."""

import re
from typing import Final, NewType

Ulid = NewType("Ulid", str)
"""26 characters of upper-case Crockford base32; sorts by time."""

Uuid7 = NewType("Uuid7", str)
"""Canonical lower-case UUID of version 7."""

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [first + second for first in _CROCKFORD for second in _CROCKFORD]
_INVALID: Final = ord("!")
_BASE32: Final = bytes(
    ord("0123456789abcdefghijklmnopqrstuv"[_CROCKFORD.index(chr(code))]) if chr(code) in _CROCKFORD else _INVALID
    for code in range(256)
)
"""Crockford's digits as those `int` knows; whatever is none of them is no digit of `int` either."""
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
RANDOM_BITS: Final = 80
"""Bits of a ULID below its time."""


def ulid_from_int(value: int) -> Ulid:
    """The ULID with this 128-bit value."""
    chunks = [_PAIRS[(value >> shift) & 1023] for shift in range(120, -1, -10)]
    return Ulid("".join(chunks))


def ulid_to_int(ulid: str) -> int:
    """The 128-bit value of a ULID; inverse of `ulid_from_int`. Raises `ValueError` for any other character."""
    return int(ulid.encode().translate(_BASE32), 32)


def ulid_ms(ulid: str) -> int:
    """The millisecond a ULID was made in."""
    return ulid_to_int(ulid) >> RANDOM_BITS


def is_ulid(text: str) -> bool:
    """True for a canonical ULID."""
    return _ULID.match(text) is not None


def is_uuid(text: str) -> bool:
    """True for a canonical lower-case UUID of any version."""
    return _UUID.match(text) is not None


def uuid7_from(time_ms: int, random: bytes) -> Uuid7:
    """The UUIDv7 of a millisecond and ten random bytes (RFC 9562, 5.7)."""
    rand_a = int.from_bytes(random[:2], "big") & 0x0FFF
    rand_b = int.from_bytes(random[2:10], "big") & ((1 << 62) - 1)
    value = (time_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | rand_a << 64 | 0b10 << 62 | rand_b
    text = f"{value:032x}"
    return Uuid7(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
