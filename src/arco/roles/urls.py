"""Who signs URLs in an api: the storage's provider, or arco for what has none."""

from collections.abc import Callable
from typing import Final

from arco.core.scope import Scope
from arco.edge.urls import FileReader, UrlDesk
from arco.roles.chains import CATALOG
from arco.roles.process import Process, derived_secret
from arco.storage.locate import CloudStore
from arco.storage.signing import FallbackSigner, LocalSigner, UrlSigner

OBJECTS: Final = "/browser/objects"

READABLE: Final = frozenset({"catalogs", "columns", "lineage_edges", "namespaces", "tables"})
"""The tables whose files anybody in the workspace may read; all others are asked in SQL, or not at all."""


def url_desk(process: Process, reader_for: Callable[[Scope], FileReader], *, secret: bytes, prefix: str) -> UrlDesk:
    """`secret` is shared by all api processes; objects that arco signs for are served below `prefix`."""
    local = LocalSigner(derived_secret("arco-signed-objects", secret.hex()), process.clock, f"{prefix}{OBJECTS}")
    minted = process.registry.counter("signed_url_minted_total", "Requests for signed URLs that were granted").series()
    return UrlDesk(
        store=process.store,
        reader_for=reader_for,
        provider=_provider(process, local),
        local=local,
        tables=tuple(spec for spec in CATALOG.tables if spec.name in READABLE),
        minted=minted.inc,
    )


def _provider(process: Process, local: LocalSigner) -> UrlSigner:
    signer = process.store.signer(process.clock) if isinstance(process.store, CloudStore) else None
    return local if signer is None else FallbackSigner(signer, local)
