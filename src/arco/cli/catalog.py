"""`arco catalog ls | show | create | history`: looking at the catalog, and starting it."""

from argparse import Namespace
from collections.abc import Callable, Sequence
from typing import Any, Final

from arco.cli.advice import looking_for, making
from arco.cli.failures import OK, UsageProblem
from arco.cli.names import KINDS, dotted, parse_name
from arco.cli.render import Table, cell_text, counted, table_of
from arco.cli.session import client_of, moment
from arco.cli.terminal import Terminal
from arco.clients.catalog import (
    Item,
    collection_name,
    collection_path,
    ensure,
    fetch,
    listed,
    listed_if_any,
    object_path,
)

_CATALOG, _SCHEMA, _TABLE = 1, 2, 3
"""How many parts the name of each kind has."""

_FACTS: Final = ("id", "format", "location", "description", "created_at", "updated_at")
_EMPTY: Final = {
    0: "no catalogs yet: arco catalog create NAME, or arco demo for real data",
    _CATALOG: "no schemas yet: arco catalog create {name}.SCHEMA",
    _SCHEMA: "no tables yet: arco catalog register {name}.TABLE --location PATH",
}


def ls(args: Namespace, terminal: Terminal) -> int:
    """List the catalogs, or what is in the named object."""
    parts = parse_name(args.name) if args.name else ()
    with looking_for(parts), client_of(args) as client, terminal.step("reading the catalog"):
        if len(parts) == _TABLE:
            found = {"columns": fetch(client, parts).get("columns", [])[: args.limit]}
        else:
            key = collection_name(parts)
            found = {key: _lister(parts)(client, collection_path(parts), key, args.limit)}
    if terminal.as_json:
        terminal.document(found)
        return OK
    ((key, items),) = found.items()
    if key == "columns":
        _columns(terminal, items)
    elif not items:
        terminal.say(_EMPTY[len(parts)].format(name=dotted(parts)))
    else:
        terminal.table(_listing(items, with_files=key == "tables"), counted(len(items), key[:-1]))
    return OK


def show(args: Namespace, terminal: Terminal) -> int:
    """Everything known about one object."""
    parts = parse_name(args.name)
    with looking_for(parts), client_of(args) as client, terminal.step("reading the catalog"):
        found = fetch(client, parts)
    if terminal.as_json:
        terminal.document(found)
        return OK
    kind = KINDS[len(parts) - 1]
    terminal.say(f"{terminal.styled(cell_text(dotted(parts)), 'bold')}  {kind}")
    facts = [(name.removesuffix("_at"), _fact(found, name)) for name in _FACTS if found.get(name)]
    facts += sorted((found.get("properties") or {}).items())
    width = max((len(cell_text(name)) for name, _ in facts), default=0)
    for name, value in facts:
        terminal.say(f"  {terminal.styled(cell_text(name).ljust(width), 'dim')}  {cell_text(value)}")
    if len(parts) == _TABLE:
        terminal.say()
        _columns(terminal, found.get("columns", []))
    else:
        terminal.say(f"\nnext: arco catalog ls {dotted(parts)}")
    return OK


def create(args: Namespace, terminal: Terminal) -> int:
    """Create a catalog or a schema."""
    parts = parse_name(args.name)
    if len(parts) == _TABLE:
        raise UsageProblem(
            f"{args.name!r} names a table", f"tables are registered: arco catalog register {args.name} --location PATH"
        )
    body = {"description": args.description} if args.description else {}
    with making(parts, "--if-not-exists"), client_of(args) as client, terminal.step("writing to the catalog"):
        if args.if_not_exists:
            made, created = ensure(client, parts, body)
        else:
            made = client.create(collection_path(parts[:-1]), {"name": parts[-1], **body}).json()
            created = True
    kind = KINDS[len(parts) - 1]
    if terminal.as_json:
        terminal.document({"kind": kind, "created": created, "object": made})
        return OK
    terminal.say(f"{'created' if created else 'there already:'} {kind} {cell_text(dotted(parts))}")
    following = "create {}.SCHEMA" if len(parts) == _CATALOG else "register {}.TABLE --location PATH"
    terminal.say(f"next: arco catalog {following.format(dotted(parts))}")
    return OK


def history(args: Namespace, terminal: Terminal) -> int:
    """Who changed what, of the whole catalog or of one object, newest first."""
    parts = parse_name(args.name) if args.name else ()
    path = f"{object_path(parts)}/history"
    with looking_for(parts), client_of(args) as client, terminal.step("reading the history"):
        entries = _lister(parts)(client, path, "history", args.limit)
    if terminal.as_json:
        terminal.document({"name": dotted(parts) or None, "history": entries})
        return OK
    rows = [
        [
            entry.get("snapshot_version"),
            moment(entry.get("published_at")),
            entry.get("operation"),
            entry.get("object_name"),
            entry.get("actor"),
            short_manifest(entry.get("manifest_id")),
        ]
        for entry in entries
    ]
    columns = ["version", "when (UTC)", "what", "name", "who", "manifest"]
    terminal.table(Table(columns, rows, frozenset({"version", "manifest"})), _history_note(entries, args.limit))
    return OK


def short_manifest(manifest_id: Any) -> str:
    """A manifest id without its leading zeros, which `--as-of` takes as well."""
    return str(manifest_id).lstrip("0") or "0" if manifest_id is not None else ""


def _history_note(entries: Sequence[Item], limit: int) -> str:
    if len(entries) == limit:
        return f"the newest {counted(limit, 'change')}; more with --limit"
    return counted(len(entries), "change")


def _lister(parts: tuple[str, ...]) -> Callable[..., list[Item]]:
    # Nothing there is an answer for the whole workspace, and a mistake in a name.
    return listed if parts else listed_if_any


def _listing(items: Sequence[Item], *, with_files: bool) -> Table:
    columns = [("name", "name")]
    if with_files:
        columns += [("format", "format"), ("location", "location")]
    columns += [("description", "description"), ("updated (UTC)", "updated_at")]
    shown = [{**item, "updated_at": moment(item.get("updated_at"))} for item in items]
    return table_of(shown, [pair for pair in columns if any(item.get(pair[1]) for item in shown)])


def _columns(terminal: Terminal, columns: Sequence[Item]) -> None:
    rows = [_column_row(index, column) for index, column in enumerate(columns)]
    described = any(row[-1] for row in rows)
    headings = ["#", "column", "type", "null", "description"]
    table = Table(headings if described else headings[:-1], rows if described else [row[:-1] for row in rows])
    terminal.table(table, counted(len(rows), "column"))


def _column_row(index: int, column: Item) -> list[Any]:
    nullable = "yes" if column.get("nullable", True) else "no"
    return [column.get("position", index), column["name"], column["data_type"], nullable, column.get("description")]


def _fact(found: Item, name: str) -> str:
    value = found[name]
    return f"{moment(value)} UTC" if name.endswith("_at") else str(value)
