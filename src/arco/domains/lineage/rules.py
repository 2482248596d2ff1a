"""What an edge may be, and the id that names it (catalog.md 8.1). Pure.

Ids are lengths and bytes under SHA-256, so that no two different edges share one: (`a`, `b` NUL `c`) and (`a` NUL `b`,
`c`) differ even before the second rule, that control characters are refused, is looked at.
"""

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Final

import msgspec

from arco.core.errors import InvalidInput
from arco.core.limits import EDGES_PER_REQUEST_MAX
from arco.domains.lineage.rows import EdgeRow

DEFAULT_EDGE_TYPE: Final = "derives_from"

NODE_ID_BYTES_MAX: Final = 256
"""`source_id`, `target_id` and `run_id`: free text, no reference into the catalog."""

EDGE_TYPE_BYTES_MAX: Final = 64
"""`edge_type`: a word, not a document."""

_ID_DOMAIN: Final = b"arco-lineage-edge-v1"
_LENGTH_BYTES: Final = 8


class NewEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge as somebody asks for it."""

    source_id: str
    target_id: str
    edge_type: str = DEFAULT_EDGE_TYPE
    run_id: str | None = None


def edge_id(edge: NewEdge) -> str:
    """The edge's id: 64 lower-case hex digits, equal exactly for equal edges (catalog.md 8.1)."""
    digest = hashlib.sha256(_ID_DOMAIN)
    for text in (edge.source_id, edge.target_id, edge.edge_type):
        digest.update(_framed(text))
    digest.update(b"\x00" if edge.run_id is None else b"\x01" + _framed(edge.run_id))
    return digest.hexdigest()


def checked_edges(edges: Sequence[NewEdge]) -> None:
    """Accept a request's edges. Raises `InvalidInput` naming the edge, the field and the rule (catalog.md 8.1)."""
    if not edges:
        raise InvalidInput("edges must not be empty")
    if len(edges) > EDGES_PER_REQUEST_MAX:
        raise InvalidInput(f"edge count {len(edges)} exceeds max {EDGES_PER_REQUEST_MAX}")
    for index, edge in enumerate(edges):
        _check_text(f"edges[{index}].source_id", edge.source_id, NODE_ID_BYTES_MAX)
        _check_text(f"edges[{index}].target_id", edge.target_id, NODE_ID_BYTES_MAX)
        _check_text(f"edges[{index}].edge_type", edge.edge_type, EDGE_TYPE_BYTES_MAX)
        if edge.run_id is not None:
            _check_text(f"edges[{index}].run_id", edge.run_id, NODE_ID_BYTES_MAX)


def minted(edges: Sequence[NewEdge], created_at: int) -> list[EdgeRow]:
    """The rows of a request, each distinct edge once, in the order they were first named; `created_at` in ms."""
    rows: dict[str, EdgeRow] = {}
    for edge in edges:
        identity = edge_id(edge)
        if identity not in rows:
            rows[identity] = EdgeRow(
                id=identity,
                source_id=edge.source_id,
                target_id=edge.target_id,
                edge_type=edge.edge_type,
                run_id=edge.run_id,
                created_at=created_at,
            )
    return list(rows.values())


def _framed(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _check_text(field: str, text: str, bytes_max: int) -> None:
    if not text.strip():
        raise InvalidInput(f"{field} must not be empty")
    if len(text.encode()) > bytes_max:
        raise InvalidInput(f"{field} exceeds max length ({bytes_max} bytes)")
    found = next((char for char in text if unicodedata.category(char) == "Cc"), None)
    if found is not None:
        raise InvalidInput(f"{field} must not contain control characters (found U+{ord(found):04X})")
