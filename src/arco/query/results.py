"""What a query answers with: which rows, from which manifest, and the two ways they are written (catalog.md 7.4)."""

from typing import Final, Literal

import msgspec

from arco.core.errors import InvalidInput

Output = Literal["json", "arrow"]
"""How rows are written."""

MEDIA: Final[dict[Output, str]] = {"json": "application/json", "arrow": "application/vnd.apache.arrow.stream"}
TRUNCATED_KEY: Final = b"arco.truncated"
"""Schema metadata of an Arrow stream whose rows are not all there."""

MANIFEST_KEY: Final = b"arco.manifest_id"
"""Schema metadata of an Arrow stream: the manifest that was read."""


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The encoded rows, how many, the manifest they are of (None in an empty workspace), and whether some are missing.

    `query_id` names the query in lists and in the history, `relations` are those it names.
    """

    body: bytes
    rows: int
    manifest_id: str | None
    truncated: bool
    query_id: str = ""
    relations: tuple[str, ...] = ()


def chosen_output(format_text: str | None, accept: str | None) -> Output:
    """JSON or Arrow, as `?format=` or else `Accept` asks. Raises `InvalidInput` for another format (catalog.md 7.4)."""
    if format_text is not None:
        wanted = format_text.strip().lower()
        if wanted not in ("json", "arrow"):
            raise InvalidInput("format must be one of: json, arrow")
        return "json" if wanted == "json" else "arrow"
    return "json" if "application/json" in (accept or "").lower() else "arrow"
