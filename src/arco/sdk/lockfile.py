"""The lockfile of a project: an id for each asset, given once and kept (orchestration.md 1.1, 9.1).

It belongs into version control: who deploys without it gives every asset a new id, and its partitions a new history.
Ids of assets that are gone stay in it, so that one that comes back is the one it was.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from arco.core.asset_keys import asset_key
from arco.core.entropy import Ids
from arco.core.errors import InvalidInput
from arco.core.ids import is_uuid
from arco.sdk.errors import DefinitionError

LOCKFILE: Final = Path(".arco-flow") / "state.json"
VERSION: Final = "1.0"


class _State(msgspec.Struct, rename="camel"):
    version: str
    asset_ids: dict[str, str]


class Lockfile:
    """The ids of a project's assets; `path` is its folder's `.arco-flow/state.json`. Raises `DefinitionError`."""

    def __init__(self, project: Path) -> None:
        self.path = project / LOCKFILE
        self._ids = self._read()

    @property
    def ids(self) -> Mapping[str, str]:
        """The id of each asset that ever was, by key."""
        return self._ids

    def with_ids(self, keys: Iterable[str], ids: Ids) -> Mapping[str, str]:
        """The ids of these assets; those that have none get one, which is kept before it is handed out."""
        wanted = sorted(set(keys))
        if missing := [key for key in wanted if key not in self._ids]:
            self._ids |= {key: ids.uuid7() for key in missing}
            self._write()
        return {key: self._ids[key] for key in wanted}

    def _read(self) -> dict[str, str]:
        try:
            state = msgspec.json.decode(self.path.read_bytes(), type=_State)
        except FileNotFoundError:
            return {}
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._wrong(f"it cannot be read ({error})") from None
        if state.version != VERSION:
            raise self._wrong(f"it has version {state.version}, and this arco writes {VERSION}")
        for key, one in state.asset_ids.items():
            if not is_uuid(one) or not _is_key(key):
                raise self._wrong(f"{key}: {one} is no id of an asset")
        if len(set(state.asset_ids.values())) < len(state.asset_ids):
            raise self._wrong("two assets have the same id")
        return state.asset_ids

    def _write(self) -> None:
        text = json.dumps({"version": VERSION, "assetIds": dict(sorted(self._ids.items()))}, indent=2) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            fresh.write_text(text, "utf-8")
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)

    def _wrong(self, reason: str) -> DefinitionError:
        return DefinitionError(f"{self.path}: {reason}; restore it from version control (it keeps the ids of assets)")


def _is_key(text: str) -> bool:
    try:
        return asset_key(text) == text
    except InvalidInput:
        return False
