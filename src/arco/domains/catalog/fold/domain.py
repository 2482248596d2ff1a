"""The catalog as a domain on the kernel."""

from typing import Any, Final

from arco.core.errors import unreachable
from arco.domains.catalog import events
from arco.domains.catalog.fold import catalogs, namespaces, tables
from arco.domains.catalog.tables import CATALOG_TABLES, DOMAIN
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Decision, FoldContext, View
from arco.kernel.spec import TableSpec


class CatalogDomain:
    """Catalogs, schemas, tables and columns. Implements `kernel.fold.Domain`."""

    name: str = DOMAIN
    event_types: frozenset[str] = frozenset({events.EVENT_TYPE})
    tables: tuple[TableSpec[Any], ...] = CATALOG_TABLES

    def fold(self, view: View, event: Envelope, context: FoldContext) -> Decision:
        """Decide one event. Raises `NotLoaded`, `UnsupportedEvent`, `InvalidEvent`."""
        return decide(view, events.decode_event(event), event.base_row_version)


def decide(view: View, event: events.CatalogEvent, base: int | None) -> Decision:
    """What becomes of an event made from row version `base`; the view holds the result. Raises `NotLoaded`."""
    match event:
        case events.TableRegistered():
            return tables.registered(view, event)
        case events.TableUpdated():
            return tables.updated(view, event, base)
        case events.TableDropped():
            return tables.dropped(view, event, base)
        case events.TableRenamed():
            return tables.renamed(view, event, base)
        case events.NamespaceCreated():
            return namespaces.created(view, event)
        case events.NamespaceUpdated():
            return namespaces.updated(view, event, base)
        case events.NamespaceDeleted():
            return namespaces.deleted(view, event, base)
        case events.NamespaceRenamed():
            return namespaces.renamed(view, event, base)
    return _decide_catalog(view, event, base)


def _decide_catalog(view: View, event: events.CatalogEvent, base: int | None) -> Decision:
    match event:
        case events.CatalogCreated():
            return catalogs.created(view, event)
        case events.CatalogUpdated():
            return catalogs.updated(view, event, base)
        case events.CatalogDeleted():
            return catalogs.deleted(view, event, base)
        case events.CatalogRenamed():
            return catalogs.renamed(view, event, base)
    return unreachable(f"no fold for {type(event).__name__}")


CATALOG: Final = CatalogDomain()
"""The domain, as composition roots name it."""
