"""What handlers of the browser read path are given: who signs, what may be signed, where it is read (catalog.md 6)."""

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from arco.core.scope import Scope
from arco.kernel.reading import Snapshot
from arco.kernel.spec import TableSpec
from arco.storage.port import ObjectStore
from arco.storage.signing import LocalSigner, ScopedSigner, UrlSigner


class FileSnapshot(Snapshot, Protocol):
    """A snapshot that says where its rows are."""

    async def segment_paths(self, table: TableSpec[Any]) -> list[str]:
        """Where the table's segments are, in key order: its pages are read, and no segment."""
        ...


class FileReader(Protocol):
    """Finds such snapshots of one workspace."""

    async def head(self) -> FileSnapshot | None:
        """The newest snapshot; None when the workspace has none yet."""
        ...


class UrlDesk(msgspec.Struct, frozen=True, kw_only=True):
    """`provider` signs for the whole store, `local` is what arco signed itself; `tables` are those anybody may read."""

    store: ObjectStore
    reader_for: Callable[[Scope], FileReader]
    provider: UrlSigner
    local: LocalSigner
    tables: tuple[TableSpec[Any], ...]
    minted: Callable[[], None]

    def signer(self, scope: Scope) -> UrlSigner:
        """Signs keys of one workspace, and of no other."""
        return ScopedSigner(self.provider, scope)

    async def readable(self, snapshot: FileSnapshot, domain: str) -> list[str]:
        """The files of a domain that anybody in the workspace may read; changes since the last merge are in none."""
        found: list[str] = []
        for table in self.tables:
            if table.domain == domain:
                found += await snapshot.segment_paths(table)
        return found
