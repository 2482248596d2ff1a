"""Which texts every adapter takes for an object key, whatever its backend would allow.

Narrower than `checked_key`: a key is also a path of files, so that what works on one adapter works on all.
A segment that begins with a dot is refused because local storage keeps its own files there.
"""

import re
from typing import Final

from arco.core.errors import invariant
from arco.core.paths import InvalidKey, Key, checked_key

KEY_BYTES_MAX: Final = 1_024
"""UTF-8 bytes of a whole key, scope prefix included: what GCS and S3 take."""

SEGMENT_BYTES_MAX: Final = 255
"""UTF-8 bytes between two slashes: what file systems take for a name."""

LIST_LIMIT_MAX: Final = 10_000
"""Objects of one listing page: a page is held in memory."""

_FIRST: Final = r"[^./\\%\x00-\x1f\x7f-\U0010ffff]"
_SEGMENT: Final = rf"{_FIRST}[^/\\%\x00-\x1f\x7f-\U0010ffff]{{0,{SEGMENT_BYTES_MAX - 1}}}"
_ASCII_KEY: Final = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*\Z")
"""What nearly every key is: checked on each operation, so in one go."""


def object_key(text: str) -> Key:
    """The key of an object that `text` spells. Raises `InvalidKey`."""
    if len(text) <= KEY_BYTES_MAX and _ASCII_KEY.match(text):
        return Key(text)
    return _checked_slowly(text)


def list_prefix(text: str) -> str:
    """A prefix that keys may start with; it may be empty or end anywhere. Raises `InvalidKey`."""
    complete, _, partial = text.rpartition("/")
    if complete:
        object_key(complete)
    elif text.startswith("/"):
        raise InvalidKey(text, "path must be relative")
    if partial not in ("", "."):
        object_key(partial)
    elif partial == ".":
        raise InvalidKey(text, "path must not contain names that begin with a dot")
    return text


def list_limit(limit: int) -> int:
    """The number of objects a page may hold: at least one, at most `LIST_LIMIT_MAX`."""
    invariant(limit > 0, "a listing page holds at least one object")
    return min(limit, LIST_LIMIT_MAX)


def _checked_slowly(text: str) -> Key:
    key = checked_key(text)
    if key.endswith("/"):
        raise InvalidKey(text, "path must not end with a slash")
    segments = key.split("/")
    if any(segment.startswith(".") for segment in segments):
        raise InvalidKey(text, "path must not contain names that begin with a dot")
    try:
        sizes = [len(segment.encode()) for segment in segments]
    except UnicodeEncodeError:
        raise InvalidKey(text, "path must be valid Unicode") from None
    if max(sizes) > SEGMENT_BYTES_MAX:
        raise InvalidKey(text, f"path must not contain a name of more than {SEGMENT_BYTES_MAX} bytes")
    if sum(sizes) + len(sizes) - 1 > KEY_BYTES_MAX:
        raise InvalidKey(text, f"path must not be longer than {KEY_BYTES_MAX} bytes")
    return key
