"""Canonical JSON and the hashes made of it (catalog.md 2.8, 3.6; RFC 8785).

Keys are sorted recursively, no white space, UTF-8, nulls kept. The values arco hashes hold strings,
integers, booleans, nulls, lists and objects; floats are refused because RFC 8785 number formatting is the
one part of it that libraries disagree on.
"""

import hashlib
from json.encoder import encode_basestring
from typing import Any, Final

_quoted: Final = encode_basestring
"""A text as JSON writes it, with nothing escaped that need not be; in C where the interpreter has that."""


def canonical_json(value: Any) -> bytes:
    """`value` in canonical form. Raises `TypeError` for a float, a key that is not text, what JSON does not have."""
    return _text(value).encode("utf-8", "surrogatepass")


def sha256_hex(data: bytes) -> str:
    """Lower-case hexadecimal SHA-256."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: Any) -> str:
    """Bare hexadecimal SHA-256 of the canonical form: the contracts' `request_hash`."""
    return sha256_hex(canonical_json(value))


def _text(value: Any) -> str:
    # Every request and every event is hashed by it: the text is made in one walk, commonest kinds first.
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "null"
    if isinstance(value, dict):
        return _object(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, list | tuple):
        return f"[{','.join([_text(item) for item in value])}]"
    if isinstance(value, float):
        raise TypeError("canonical JSON of arco holds no floats")
    raise TypeError(f"JSON has no {type(value).__name__}")


def _object(value: dict[Any, Any]) -> str:
    try:
        ascii_only = "".join(value).isascii()
    except TypeError:
        raise TypeError("canonical JSON has text keys only") from None
    # RFC 8785 sorts by UTF-16 code units, which differs from code points above U+FFFF.
    keys = sorted(value) if ascii_only else sorted(value, key=_utf16)
    return "{" + ",".join([f"{_quoted(key)}:{_text(value[key])}" for key in keys]) + "}"


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")
