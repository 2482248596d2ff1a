"""Which snapshot a query reads: the head, a manifest by its id, or the newest one published by a time."""

from typing import Final

from arco.core.errors import InvalidInput, NotFound
from arco.core.instant import parse_ms
from arco.core.paths import manifest_number_text
from arco.kernel.reading import Reader, Snapshot
from arco.query.joint import JointReader, JointSnapshot

_DIGITS_MAX: Final = 20


async def pinned(reader: Reader | JointReader, as_of: str | int | None) -> Snapshot | JointSnapshot | None:
    """The snapshot `as_of` names (None: the head). Raises `InvalidInput` for its form, `NotFound` without one."""
    if as_of is None:
        return await reader.head()
    snapshot: Snapshot | JointSnapshot | None
    text = str(as_of).strip()
    if text.isascii() and text.isdigit():
        if len(text) > _DIGITS_MAX:
            raise InvalidInput(f"as_of must be a manifest id of at most {_DIGITS_MAX} digits")
        snapshot = await reader.at_manifest(manifest_number_text(int(text)))
        fact = f"Manifest not found: {text}; it never was, or retention has collected it"
    else:
        snapshot = await reader.at_time(_time_ms(text))
        fact = f"No manifest had been published at {text}"
    if snapshot is None:
        raise NotFound(fact)
    return snapshot


def _time_ms(text: str) -> int:
    try:
        return parse_ms(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            "as_of must be a manifest id (digits) or an RFC 3339 time with a zone, for instance 2026-01-01T00:00:00Z"
        ) from None
