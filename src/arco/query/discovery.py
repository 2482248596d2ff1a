"""Finds the relations a query names, by the engine's own name resolution (CTE names and aliases are none).

The engine asks a catalog that holds nothing for every name before it plans; we write the names down. Nothing is loaded
and nothing is executed: the plan, if there is one, is thrown away.
"""

from functools import lru_cache
from typing import Any

from arco.core.errors import InvalidInput
from arco.query.errors import NotReadOnly
from arco.query.functions import keep_allowed
from arco.query.guard import explain, read_only
from arco.query.session import session_config
from arco.query.statement import NOT_A_QUERY, SEVERAL
from arco.query.wire import RelationName


def discover(sql: str, *, query: bool) -> tuple[RelationName, ...]:
    """The relations that the statement names, sorted; table functions count as relations of one part.

    `query` is whether it can be a query at all. Raises `InvalidInput`, `NotReadOnly` when it is not one (catalog.md
    7.2).
    """
    from datafusion import SessionContext  # noqa: PLC0415  # loads the engine

    context = SessionContext(session_config())
    keep_allowed(context)
    names: set[RelationName] = set()
    context.register_catalog_provider_list(_recording(names))
    try:
        context.sql_with_options(sql, read_only())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic of the engine is not an Exception
        _check_form(str(error))
    if not query:
        raise NotReadOnly(NOT_A_QUERY)
    return tuple(sorted(names))


def _check_form(text: str) -> None:
    """Raise for errors of form; names that resolve to nothing and the planning that fails on them are expected."""
    words = explain(text)
    if words in (SEVERAL, NOT_A_QUERY):
        raise NotReadOnly(words)
    if words.startswith(("failed to parse SQL:", "sql must contain")):
        raise InvalidInput(words)


def _recording(names: set[RelationName]) -> Any:
    """A list of catalogs that has every catalog and every schema and no table, and writes down what is asked for."""
    return _catalogs_class()(names)


@lru_cache(maxsize=1)
def _catalogs_class() -> Any:
    """The class of that list; made late because its bases come with the engine."""
    from datafusion.catalog import CatalogProvider, CatalogProviderList, SchemaProvider  # noqa: PLC0415  # comes with the engine

    class RecordingSchema(SchemaProvider):
        def __init__(self, names: set[RelationName], catalog: str, schema: str) -> None:
            self._names, self._catalog, self._schema = names, catalog, schema

        def table_names(self) -> set[str]:
            return set()

        def table(self, name: str) -> None:
            self._names.add(RelationName(self._catalog, self._schema, name))

        def table_exist(self, name: str) -> bool:
            return False

    class RecordingCatalog(CatalogProvider):
        def __init__(self, names: set[RelationName], catalog: str) -> None:
            self._names, self._catalog = names, catalog

        def schema_names(self) -> set[str]:
            return set()

        def schema(self, name: str) -> Any:
            return RecordingSchema(self._names, self._catalog, name)

    class RecordingCatalogs(CatalogProviderList):
        def __init__(self, names: set[RelationName]) -> None:
            self._names = names

        def catalog_names(self) -> set[str]:
            return set()

        def catalog(self, name: str) -> Any:
            return RecordingCatalog(self._names, name)

    return RecordingCatalogs
