"""The supervisor's side of registering tables: catalog, schema and table made when they are missing, kept up to date.

One request after another, on a thread: registering is rare beside reporting. Repeating it changes nothing.
"""

import asyncio
from typing import Any

from arco.clients.api import ApiClient, Target
from arco.clients.catalog import ensure, object_path
from arco.clients.columns import sql_name
from arco.config.worker import WorkerSettings
from arco.core.errors import ArcoError


class Registry:
    """Registers the tables of one worker in one catalog."""

    def __init__(self, settings: WorkerSettings) -> None:
        keyless = settings.api_key is None
        self._client = ApiClient(
            Target(
                url=settings.api_url,
                token=settings.api_key,
                tenant=settings.tenant if keyless else None,
                workspace=settings.workspace if keyless else None,
            )
        )
        self._catalog = settings.catalog
        self._scope_prefix = f"tenant={settings.tenant}/workspace={settings.workspace}/"
        self._made: set[str] = set()
        self._turn = asyncio.Lock()

    async def register(self, told: dict[str, Any]) -> str:
        """Make a table known; nothing, or in words why that failed."""
        async with self._turn:
            try:
                await asyncio.to_thread(self._register, told)
            except (ArcoError, KeyError, TypeError, ValueError) as error:
                return str(error) or type(error).__name__
        return ""

    async def close(self) -> None:
        """End the connection, once nobody uses it."""
        async with self._turn:
            self._client.close()

    def _register(self, told: dict[str, Any]) -> None:
        schema, _, name = str(told["asset_key"]).partition(".")
        if schema not in self._made:
            ensure(self._client, (self._catalog,), {"description": "Tables of assets"})
            ensure(self._client, (self._catalog, schema), {})
            self._made.add(schema)
        parts = (self._catalog, schema, name)
        body = self._body(told)
        found, created = ensure(self._client, parts, body)
        if created:
            return
        changes = {key: value for key, value in body.items() if key != "columns" and found.get(key) != value}
        if _columns(found.get("columns") or []) != _columns(body["columns"]):
            changes["columns"] = body["columns"]
        if changes.get("properties") and _within(changes["properties"], found.get("properties")):
            del changes["properties"]
        if changes:
            self._client.change(object_path(parts), changes)

    def _body(self, told: dict[str, Any]) -> dict[str, Any]:
        columns = [
            {"name": one["name"], "data_type": sql_name(one["type"]), "nullable": one.get("nullable", True)}
            for one in told["columns"]
        ]
        properties = {f"tag.{name}": value for name, value in told.get("tags", {}).items()}
        if told.get("owners"):
            properties["owners"] = ", ".join(told["owners"])
        body: dict[str, Any] = {
            "location": self._location(str(told["location"])),
            "format": told["format"],
            "columns": columns,
            "properties": {"asset": told["asset_key"], **properties},
        }
        return body | ({"description": told["description"]} if told.get("description") else {})

    def _location(self, location: str) -> str:
        """A folder of this machine that lies in the workspace, as the workspace names it; any other as it is."""
        before, prefix, rest = location.partition(self._scope_prefix)
        return rest if prefix and "://" not in before else location


def _columns(columns: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one.get("name"), one.get("data_type"), one.get("nullable", True)) for one in columns]


def _within(wanted: dict[str, str], found: dict[str, str] | None) -> bool:
    return all((found or {}).get(key) == value for key, value in wanted.items())
