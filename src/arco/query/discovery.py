"""Finds the relations a query names, by the engine's own name resolution (CTE names and aliases are none).

The engine asks a catalog that holds nothing for every name before it plans; we write the names down. Nothing is loaded
and nothing is executed: the plan, if there is one, is thrown away.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from arco.core.errors import InvalidInput
from arco.query.guard import UNSAID, RelationName, explain, read_only, withhold
from arco.query.statement import NOT_A_QUERY, Statement

if TYPE_CHECKING:
    from datafusion import SessionConfig


def discover(statement: Statement) -> tuple[RelationName, ...]:
    """The relations that `statement` names, sorted; table functions count as relations of one part.

    Raises `InvalidInput` when the text is not one query (catalog.md 7.2).
    """
    from datafusion import SessionContext  # noqa: PLC0415  # 0.1 s to import: only when a query comes

    context = SessionContext(session_config())
    withhold(context)
    names: set[RelationName] = set()
    context.register_catalog_provider_list(_recording(names))
    try:
        context.sql_with_options(statement.sql, read_only())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # a panic of the engine is not an Exception
        _check_form(str(error))
    if not statement.query:
        raise InvalidInput(NOT_A_QUERY)
    return tuple(sorted(names))


def session_config() -> "SessionConfig":
    """The settings of every session: one partition, nothing registered by default, no information_schema."""
    from datafusion import SessionConfig  # noqa: PLC0415  # 0.1 s to import: only when a query comes

    config = SessionConfig().with_create_default_catalog_and_schema(False)
    config = config.with_default_catalog_and_schema(UNSAID, UNSAID).with_information_schema(False)
    return config.with_target_partitions(1)


def _check_form(text: str) -> None:
    """Raise for errors of form; names that resolve to nothing and the planning that fails on them are expected."""
    words = explain(text)
    forms = ("failed to parse SQL:", "sql must contain", "only single-statement", NOT_A_QUERY)
    if words.startswith(forms):
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
