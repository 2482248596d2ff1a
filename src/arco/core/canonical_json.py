"""Canonical JSON and the hashes made of it (catalog.md 2.8, 3.6; RFC 8785).

Keys are sorted recursively, no white space, UTF-8, nulls kept. The values arco hashes hold strings,
integers, booleans, nulls, lists and objects; floats are refused because RFC 8785 number formatting is the
one part of it that libraries disagree on.
"""

import hashlib
import json
from typing import Any, Final

_ENCODER: Final = json.JSONEncoder(sort_keys=False, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """`value` in canonical form. Raises `TypeError` for a float or a key that is not text."""
    return _ENCODER.encode(_leaf(value)).encode("utf-8", "surrogatepass")


def sha256_hex(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: Any) -> str:
    """Bare hexadecimal SHA-256 of the canonical form: the contracts' `request_hash`."""
    return sha256_hex(canonical_json(value))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("canonical JSON has text keys only")
        # RFC 8785 sorts by UTF-16 code units, which differs from code points above U+FFFF.
        keys = sorted(value) if "".join(value).isascii() else sorted(value, key=_utf16)
        return {key: _leaf(value[key]) for key in keys}
    return [_leaf(item) for item in value]


def _leaf(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple):
        return _ordered(value)
    if isinstance(value, float):
        raise TypeError("canonical JSON of arco holds no floats")
    return value


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")
