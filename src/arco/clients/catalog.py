"""The catalog as a client sees it: paths of named objects, objects found or created, lists read page by page."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from arco.clients.api import ApiClient, ApiProblem, path_of

Item = dict[str, Any]
"""One JSON object of the api."""

_COLLECTIONS: Final = ("catalogs", "schemas", "tables")
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_PAGE_ROWS: Final = 500


def object_path(parts: tuple[str, ...]) -> str:
    """The path of a catalog, schema or table."""
    return "".join(path_of(_COLLECTIONS[index], part) for index, part in enumerate(parts))


def collection_path(parts: tuple[str, ...]) -> str:
    """The path of the list of what is in `parts`; of the catalogs when it is empty."""
    return object_path(parts) + f"/{_COLLECTIONS[len(parts)]}"


def collection_name(parts: tuple[str, ...]) -> str:
    """The JSON key of the list of what is in `parts`."""
    return _COLLECTIONS[len(parts)]


def fetch(client: ApiClient, parts: tuple[str, ...]) -> Item:
    """The object with this name, a table with its columns. Raises `ApiProblem` when there is none."""
    is_table = len(parts) == len(_COLLECTIONS)
    found: Item = client.get(object_path(parts), {"include": "columns"} if is_table else None).json()
    return found


def find(client: ApiClient, parts: tuple[str, ...]) -> Item | None:
    """The object with this name, or None."""
    try:
        return fetch(client, parts)
    except ApiProblem as problem:
        if problem.status == _NOT_FOUND:
            return None
        raise


def ensure(client: ApiClient, parts: tuple[str, ...], body: Mapping[str, Any]) -> tuple[Item, bool]:
    """The object with this name and whether this call created it."""
    found = find(client, parts)
    if found is not None:
        return found, False
    try:
        return client.create(collection_path(parts[:-1]), {"name": parts[-1], **body}).json(), True
    except ApiProblem as problem:
        if problem.status == _CONFLICT:  # somebody else was faster
            return fetch(client, parts), False
        raise


def listed(
    client: ApiClient, path: str, key: str, limit: int | None = None, *, query: Mapping[str, str] | None = None
) -> list[Item]:
    """The items of a list route in order, all pages of it, at most `limit`; `query` goes with every page."""
    size = {"limit": str(min(limit or _PAGE_ROWS, _PAGE_ROWS))}
    return list(islice(_pages(client, path, key, {**(query or {}), **size}), limit))


def listed_if_any(client: ApiClient, path: str, key: str, limit: int | None = None) -> list[Item]:
    """As `listed`; nothing in a workspace that is still empty, for which the api answers 404."""
    try:
        return listed(client, path, key, limit)
    except ApiProblem as problem:
        if problem.status == _NOT_FOUND:
            return []
        raise


def _pages(client: ApiClient, path: str, key: str, query: dict[str, str]) -> Iterator[Item]:
    while True:
        page = client.get(path, query).json()
        yield from page[key]
        cursor = page.get("next_cursor")
        if not cursor:
            return
        query["cursor"] = cursor
