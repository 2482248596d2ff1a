"""`arco catalog register | rename | drop`: changing what the catalog says; data files are never touched."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from arco.cli.advice import looking_for, making
from arco.cli.columns import parse_columns
from arco.cli.failures import OK, CommandProblem, UsageProblem, failure_of
from arco.cli.files import local_columns, local_format
from arco.cli.locations import is_in_workspace, local_path, local_workspace, registered_location
from arco.cli.names import KINDS, dotted, parse_name, parse_table
from arco.cli.render import cell_text, counted
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import ApiClient, ApiProblem
from arco.clients.catalog import collection_path, ensure, object_path
from arco.clients.columns import Column

_NOT_EMPTY: Final = (400, 409)
"""How the api refuses to drop what still holds something (catalog.md 4.6)."""


def register(args: Namespace, terminal: Terminal) -> int:
    """Register a table that lies in files."""
    parts = parse_table(args.name)
    with terminal.step(f"reading {args.location}"):
        body = _described(args)
    parents: list[str] = []
    with (
        making(parts, "--create-parents"),
        client_of(args) as client,
        terminal.step("writing to the catalog"),
    ):
        if args.create_parents:
            for depth in (1, 2):
                _, created = ensure(client, parts[:depth], {})
                parents += [dotted(parts[:depth])] if created else []
        made = client.create(collection_path(parts[:-1]), {"name": parts[-1], **body}).json()
    if terminal.as_json:
        terminal.document({"kind": "table", "created": True, "parents_created": parents, "object": made})
        return OK
    for parent in parents:
        terminal.say(f"created {cell_text(parent)}")
    columns = counted(len(body["columns"]), "column")
    terminal.say(f"registered table {cell_text(args.name)}: {body['format']}, {columns}")
    if not is_in_workspace(body["location"]):
        terminal.say(_outside_note(args))
    terminal.say(f"next: arco catalog show {args.name}")
    return OK


def rename(args: Namespace, terminal: Terminal) -> int:
    """Give an object another name in the same place."""
    parts = parse_name(args.name)
    new_parts = parse_name(args.new_name)
    if len(new_parts) > 1 and new_parts[:-1] != parts[:-1]:
        raise UsageProblem(
            f"{args.new_name!r} is not in the same place as {args.name!r}",
            "a rename changes the last part only; to move a table, register it there and drop it here",
        )
    with (
        looking_for(parts),
        making((*parts[:-1], new_parts[-1])),
        client_of(args) as client,
        terminal.step("writing to the catalog"),
    ):
        made = client.change(object_path(parts), {"name": new_parts[-1]}).json()
    kind, renamed = KINDS[len(parts) - 1], dotted((*parts[:-1], new_parts[-1]))
    if terminal.as_json:
        terminal.document({"kind": kind, "from": dotted(parts), "to": renamed, "object": made})
    else:
        terminal.say(f"renamed {kind} {cell_text(dotted(parts))} to {cell_text(renamed)}")
    return OK


def drop(args: Namespace, terminal: Terminal) -> int:
    """Remove an object from the catalog."""
    parts = parse_name(args.name)
    with looking_for(parts), client_of(args) as client, terminal.step("writing to the catalog"):
        _drop(client, parts)
    kind = KINDS[len(parts) - 1]
    if terminal.as_json:
        terminal.document({"kind": kind, "name": dotted(parts), "dropped": True})
    else:
        files = "; its files were left where they are" if kind == "table" else ""
        terminal.say(f"dropped {kind} {cell_text(dotted(parts))}{files}")
    return OK


def _drop(client: ApiClient, parts: tuple[str, ...]) -> None:
    try:
        client.drop(object_path(parts))
    except ApiProblem as problem:
        failure = failure_of(problem)
        if failure is None or problem.status not in _NOT_EMPTY:
            raise
        failure.advice = f"drop what is in it first: arco catalog ls {dotted(parts)}"
        raise failure from problem


def _outside_note(args: Namespace) -> str:
    note = "note: arco query --data reads only files that lie inside the workspace's storage"
    workspace = local_workspace(os.environ, args.tenant, args.workspace)
    if workspace is None or not workspace.is_dir():
        return note
    return f"{note};\n      to ask this table, put its files below {workspace}/warehouse and register those"


def _described(args: Namespace) -> dict[str, Any]:
    path = local_path(args.location, os.environ, args.tenant, args.workspace)
    table_format = args.format or (local_format(path) if path else None)
    if table_format is None:
        raise CommandProblem(
            f"{_sought(args)}, so its format is not known", "check the path, or say --format and --columns"
        )
    body: dict[str, Any] = {"location": registered_location(args.location, path), "format": table_format}
    body["columns"] = _columns_of(args, path, table_format)
    return body | ({"description": args.description} if args.description else {})


def _sought(args: Namespace) -> str:
    missing = f"{args.location} is not on this machine"
    workspace = local_workspace(os.environ, args.tenant, args.workspace)
    is_url = "://" in args.location
    return missing if is_url or workspace is None else f"{missing} (nor below {workspace})"


def _columns_of(args: Namespace, path: Path | None, table_format: str) -> list[Column]:
    if args.columns is not None:
        return parse_columns(args.columns)
    if path is None:
        raise CommandProblem(
            f"{_sought(args)}, so its columns are not known", "check the path, or say --columns name:type,..."
        )
    return local_columns(path, table_format)
