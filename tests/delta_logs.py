"""Builders of Delta actions and payloads."""

import json
from typing import Any

SCHEMA = {"type": "struct", "fields": [{"name": "id", "type": "long", "nullable": True, "metadata": {}}]}


def protocol(**fields: Any) -> dict[str, Any]:
    """A protocol every reader knows."""
    return {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2, **fields}}


def metadata(**fields: Any) -> dict[str, Any]:
    """The metadata of a table with one column, `id`."""
    given = {
        "id": "5fba94ed-9794-4965-ba6e-6ee3c0d22af9",
        "format": {"provider": "parquet", "options": {}},
        "schemaString": json.dumps(SCHEMA),
        "partitionColumns": [],
        "configuration": {},
        "createdTime": 1_767_225_600_000,
        **fields,
    }
    return {"metaData": given}


def add(path: str = "part-0.parquet", **fields: Any) -> dict[str, Any]:
    """A file that comes."""
    given = {
        "path": path,
        "partitionValues": {},
        "size": 100,
        "modificationTime": 1_767_225_600_000,
        "dataChange": True,
        **fields,
    }
    return {"add": given}


def remove(path: str = "part-0.parquet", **fields: Any) -> dict[str, Any]:
    """A file that goes."""
    return {"remove": {"path": path, "dataChange": True, "deletionTimestamp": 1_767_225_600_000, **fields}}


def payload(*actions: dict[str, Any]) -> str:
    """One action on each line."""
    return "".join(json.dumps(action) + "\n" for action in actions)


def creation(*more: dict[str, Any]) -> str:
    """What version 0 needs."""
    return payload(protocol(), metadata(), *more)
