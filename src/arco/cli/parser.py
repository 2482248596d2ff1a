"""Every command, flag and example of `arco`, as argparse parsers.

A command names its function as `module:function`; `main` imports it only when it runs, so that `arco --help`
imports nothing but argparse.
"""

import argparse
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from arco.cli import examples
from arco.cli.failures import USAGE, Failure
from arco.cli.parser_runs import Kinds, add_runs

ROLES: Final = ("api", "compactor", "flow-compactor", "dispatcher", "sweeper")
FORMATS: Final = ("delta", "parquet", "iceberg")
HOPS_MAX: Final = 64
"""As the api says (catalog.md 8.1 has one hop only)."""

QUERY_FORMATS: Final = ("table", "json", "csv")
GROUPS: Final = {
    "begin": ("demo", "init", "dev"),
    "make tables": ("deploy", "plan", "run", "runs", "logs", "why", "retry", "rerun", "cancel"),
    "look at tables": ("catalog", "search", "lineage", "query", "audit"),
    "serve": ("serve", "worker", "doctor", "version"),
    "tend the storage": ("verify", "gc", "retention", "reconcile", "repair"),
}
"""How the help of `arco` lists its commands."""

_ALL: Final = "command"
_USAGE: Final = "arco [-h] [--version] COMMAND ..."
_NAME_WIDTH: Final = 11


class HelpfulParser(argparse.ArgumentParser):
    """A parser whose usage errors are failures like any other: what is wrong, and which help to read."""

    def error(self, message: str) -> NoReturn:
        """Raises `Failure` with the usage code."""
        raise Failure(USAGE, message, f"read {self.prog} --help", code="USAGE")


def build() -> HelpfulParser:
    """The parser of the whole command line."""
    parser: HelpfulParser = _parser(HelpfulParser, prog="arco", usage=_USAGE, epilog=examples.ARCO_EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(
        dest=_ALL, metavar="COMMAND", parser_class=HelpfulParser, help=argparse.SUPPRESS, prog="arco"
    )
    _add_serve(commands)
    _add_worker(commands)
    add_runs(commands, Kinds(_command, _client, _positive, _port))
    _add_demo(commands)
    _add_verify(commands)
    _add_tending(commands)
    _add_doctor(commands)
    _add_catalog(commands)
    _add_search(commands)
    _add_lineage(commands)
    _add_query(commands)
    _add_audit(commands)
    version = _command(commands, "version", "arco.cli.server:version", "print the version of arco and its parts")
    _json(version)
    parser.description = f"{examples.ARCO}\n\n{_listed(commands.choices)}"
    return parser


def _listed(parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """Every command with what it does, in groups."""
    lines: list[str] = []
    for title, names in GROUPS.items():
        lines.append(f"{title}:")
        lines += [f"  {name.ljust(_NAME_WIDTH)}{parsers[name].description}" for name in names]
    return "\n".join(lines)


def _add_serve(commands: Any) -> None:
    serve = _command(commands, "serve", "arco.cli.server:serve", "run the server", epilog=examples.SERVE)
    serve.add_argument("--role", choices=ROLES, help="run this role alone (default: all roles in one process)")
    serve.add_argument("--host", help="address to listen on (ARCO_HOST, default 127.0.0.1)")
    serve.add_argument("--port", type=_port, help="port of the api, or of the role; 0 = any free port (default 8080)")
    _storage(serve)


def _add_worker(commands: Any) -> None:
    worker = _command(
        commands, "worker", "arco.cli.worker:worker", "run user code for a server", epilog=examples.WORKER
    )
    worker.add_argument("target", nargs="*", help="module, package or file with assets (ARCO_FLOW_WORKER_TARGETS)")
    worker.add_argument("--watch", action="store_true", help="load the code anew when a file of it changes")
    worker.add_argument("--api", metavar="URL", help="api that tasks are reported to (ARCO_FLOW_API_URL)")
    worker.add_argument("--tenant", help="tenant whose tasks are run (ARCO_FLOW_TENANT_ID)")
    worker.add_argument("--workspace", help="workspace whose tasks are run (ARCO_FLOW_WORKSPACE_ID, default default)")
    worker.add_argument("--host", help="address to listen on (ARCO_FLOW_WORKER_HOST, default 127.0.0.1)")
    worker.add_argument("--port", type=_port, help="port to listen on; 0 = any free port (default 8090)")
    worker.add_argument("--slots", type=_positive, help="tasks at once (ARCO_FLOW_WORKER_SLOTS, default 8)")


def _add_demo(commands: Any) -> None:
    demo = _command(
        commands, "demo", "arco.cli.demo:demo", "a lakehouse with real data, in seconds", epilog=examples.DEMO
    )
    demo.add_argument("--no-serve", action="store_true", help="stop the server when the questions are answered")
    demo.add_argument("--port", type=_port, help="port of the server (default 8080, or any free one when taken)")
    _storage(demo)
    _json(demo)


def _add_verify(commands: Any) -> None:
    what = "replay the commits and compare with what is published"
    verify = _command(commands, "verify", "arco.cli.server:verify", what, epilog=examples.VERIFY)
    _storage(verify)
    verify.add_argument("--tenant", help="tenant of the workspace (ARCO_TENANT, default local)")
    verify.add_argument("--workspace", help="workspace to verify (ARCO_WORKSPACE, default default)")
    _json(verify)


def _add_tending(commands: Any) -> None:
    gc = _command(commands, "gc", "arco.cli.tending:gc", "collect old versions and leftovers", epilog=examples.GC)
    gc.add_argument("--apply", action="store_true", help="delete; without it, only say what would go")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go (the default)")
    gc.add_argument("--walk", action="store_true", help="also look for what lost attempts left, among all names")
    what = "compare with what is stored"
    looks = _command(commands, "reconcile", "arco.cli.tending:reconcile", what, epilog=examples.RECONCILE)
    looks.add_argument("--scope", choices=("full", "current_head_only"), default="full", help="how much to look at")
    looks.add_argument("--deep", action="store_true", help="read every object of the newest version and check its hash")
    mends = _command(commands, "repair", "arco.cli.tending:repair", "mend what is broken", epilog=examples.REPAIR)
    mends.add_argument("--apply", action="store_true", help="repair; without it, only say what is wrong")
    mends.add_argument("--alone", action="store_true", help="no server runs on this storage: allow every repair")
    keeps = _parser(commands.add_parser, "retention", description="Pin versions.", epilog=examples.RETENTION)
    kinds = keeps.add_subparsers(dest="retention_command", metavar="COMMAND", required=True, parser_class=HelpfulParser)
    pin = _command(
        kinds, "pin", "arco.cli.tending:pin", "keep a version until it is released", epilog=examples.RETENTION
    )
    pin.add_argument("manifest", nargs="?", help="number of the version (default: the newest)")
    pin.add_argument("--ttl-hours", type=int, help="release it by itself after this many hours")
    pin.add_argument("--reason", default="", help="why, for whoever lists pins")
    unpin = _command(kinds, "unpin", "arco.cli.tending:unpin", "release a pin", epilog=examples.RETENTION)
    unpin.add_argument("pin_id", help="the pin")
    pins = _command(kinds, "pins", "arco.cli.tending:pins", "list pins", epilog=examples.RETENTION)
    for command in (gc, looks, mends, pin, unpin, pins):
        _storage(command)
        command.add_argument("--tenant", help="tenant of the workspace (ARCO_TENANT, default local)")
        command.add_argument("--workspace", help="the workspace (ARCO_WORKSPACE, default default)")
        command.add_argument("--policy", help="default, development, aggressive, conservative, or JSON")
        _json(command)


def _add_doctor(commands: Any) -> None:
    doctor = _command(commands, "doctor", "arco.cli.server:doctor", "check this installation", epilog=examples.DOCTOR)
    doctor.add_argument("--role", choices=ROLES, default="all", help="whose configuration to check (default: all)")
    doctor.add_argument("--url", help="server to look for (ARCO_URL, default http://127.0.0.1:8080)")
    _storage(doctor)
    _json(doctor)


def _add_catalog(commands: Any) -> None:
    what = "look at and change the catalog"
    about = f"{what[0].upper()}{what[1:]}."
    catalog = _parser(commands.add_parser, "catalog", description=about, epilog=examples.CATALOG)
    verbs = catalog.add_subparsers(dest="verb", metavar="COMMAND", required=True, parser_class=HelpfulParser)
    module = "arco.cli.catalog"

    ls = _command(verbs, "ls", f"{module}:ls", "list catalogs, schemas, tables or columns", epilog=examples.LS)
    ls.add_argument("name", nargs="?", metavar="NAME", help="whose contents to list; nothing: the catalogs")
    ls.add_argument("--limit", type=_positive, metavar="N", help="stop after N rows")
    show = _command(verbs, "show", f"{module}:show", "everything known about one object", epilog=examples.SHOW)
    show.add_argument("name", metavar="NAME", help="catalog, catalog.schema or catalog.schema.table")
    create = _command(verbs, "create", f"{module}:create", "create a catalog or a schema", epilog=examples.CREATE)
    create.add_argument("name", metavar="NAME", help="catalog or catalog.schema")
    create.add_argument("--description", metavar="TEXT")
    create.add_argument("--if-not-exists", action="store_true", help="an object that is there already is no error")
    _add_register(verbs)
    rename = _command(verbs, "rename", "arco.cli.changes:rename", "rename an object", epilog=examples.RENAME)
    rename.add_argument("name", metavar="NAME", help="catalog, catalog.schema or catalog.schema.table")
    rename.add_argument("new_name", metavar="NEW", help="the last part of the new name")
    drop = _command(verbs, "drop", "arco.cli.changes:drop", "remove an object from the catalog", epilog=examples.DROP)
    drop.add_argument("name", metavar="NAME", help="catalog, catalog.schema or catalog.schema.table")
    history = _command(verbs, "history", f"{module}:history", "who changed what, newest first", epilog=examples.HISTORY)
    history.add_argument("name", nargs="?", metavar="NAME", help="nothing: the whole catalog")
    history.add_argument("--limit", type=_positive, metavar="N", default=50, help="at most N entries (default 50)")
    for parser in (ls, show, create, rename, drop, history):
        _client(parser)


def _add_register(verbs: Any) -> None:
    what = "register a table that lies in files"
    register = _command(verbs, "register", "arco.cli.changes:register", what, epilog=examples.REGISTER)
    register.add_argument("name", metavar="CATALOG.SCHEMA.TABLE")
    register.add_argument("--location", required=True, metavar="PATH", help="file, directory or URL of the data")
    register.add_argument("--format", choices=FORMATS, help="found from the files when they are local")
    register.add_argument("--columns", metavar="NAME:TYPE,...", help="read from the files when they are local")
    register.add_argument("--description", metavar="TEXT")
    register.add_argument("--create-parents", action="store_true", help="create the catalog and schema if missing")
    _client(register)


def _add_search(commands: Any) -> None:
    what = "find schemas, tables and columns by the words in them"
    search = _command(commands, "search", "arco.cli.search:search", what, epilog=examples.SEARCH)
    search.add_argument("words", nargs="+", metavar="WORD", help="all must occur; the last may be a beginning")
    search.add_argument("--type", metavar="KINDS", help="schema, table, column, separated by commas (schema,table)")
    search.add_argument("--catalog", metavar="NAME", help="only what lies in this catalog")
    search.add_argument("--limit", type=_positive, metavar="N", default=20, help="at most N results (default 20)")
    _client(search)


def _add_lineage(commands: Any) -> None:
    what = "what a table is made from, and what is made from it"
    lineage = _command(commands, "lineage", "arco.cli.lineage:lineage", what, epilog=examples.LINEAGE)
    lineage.add_argument("name", metavar="NAME", help="catalog.schema.table, or the id of anything in the graph")
    lineage.add_argument(
        "--depth", type=_hops, default="5", metavar="N", help="hops to follow, 1 to 64, or all (default 5)"
    )
    lineage.add_argument("--direction", choices=("upstream", "downstream", "both"), default="both")
    _client(lineage)


def _add_query(commands: Any) -> None:
    query = _command(commands, "query", "arco.cli.query:query", "ask in SQL", epilog=examples.QUERY)
    query.add_argument("sql", metavar="SQL", help="one SELECT or WITH statement; - reads it from standard input")
    query.add_argument("--data", action="store_true", help="ask your tables (default: the catalog's own)")
    query.add_argument(
        "--explain",
        choices=("plan", "analyze"),
        nargs="?",
        const="plan",
        help="show how it would be run, or (analyze) run it and show what each step took",
    )
    query.add_argument("--as-of", metavar="WHEN", help="a manifest id, or a time, UTC when it names no zone")
    query.add_argument("--format", choices=QUERY_FORMATS, help="table for people (default), json, csv")
    _client(query)


def _add_audit(commands: Any) -> None:
    what = "who did what, and who was refused"
    audit = _command(commands, "audit", "arco.cli.audit:audit", what, epilog=examples.AUDIT)
    audit.add_argument("--actor", metavar="WHO", help="user:... as shown, or anonymous")
    audit.add_argument("--action", metavar="ACTION", help="for instance control_store_mutate or auth_deny")
    audit.add_argument("--since", metavar="WHEN", help="at or after this time, UTC when it names no zone")
    audit.add_argument("--until", metavar="WHEN", help="before this time")
    audit.add_argument("--limit", type=_positive, metavar="N", default=50, help="at most N events (default 50)")
    _client(audit)


def _command(commands: Any, name: str, run: str, what: str, *, epilog: str = "") -> argparse.ArgumentParser:
    about = f"{what[0].upper()}{what[1:]}."
    listed = {} if commands.dest == _ALL else {"help": what}  # all commands are listed in groups, by `_listed`
    parser: argparse.ArgumentParser = _parser(commands.add_parser, name, description=about, epilog=epilog, **listed)
    parser.set_defaults(run=run)
    return parser


def _parser(make: Any, *args: Any, **settings: Any) -> Any:
    return make(*args, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)


def _client(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--url", help="server to ask (ARCO_URL, default http://127.0.0.1:8080)")
    group.add_argument("--tenant", help="development scope (ARCO_TENANT); a token names its own")
    group.add_argument("--workspace", help="development scope (ARCO_WORKSPACE); a token names its own")
    _json(parser)


def _storage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--storage", metavar="PATH|URL", help="where everything lies (default ./.arco)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, for programs")


def _port(text: str) -> int:
    port = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return port


def _hops(text: str) -> str:
    if text == "all" or (text.isascii() and text.isdigit() and 1 <= int(text) <= HOPS_MAX):
        return text
    raise argparse.ArgumentTypeError(f"a number of hops from 1 to {HOPS_MAX}, or all, is needed, got {text!r}")


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number greater than zero is needed, got {text!r}")
    return number
