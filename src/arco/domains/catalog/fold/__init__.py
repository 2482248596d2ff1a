"""The catalog's fold: one event at a time, pure, through the view alone (catalog.md 2.8).

Guarantees: base tables and their index tables always agree; a refused event has changed nothing that the kernel does
not undo; nothing here reads a clock. What the contract calls an error is a `Rejected` with a stable code, what it calls
a no-op is accepted without a subject.
"""

from arco.domains.catalog.fold.domain import CATALOG, CatalogDomain

__all__ = ["CATALOG", "CatalogDomain"]
