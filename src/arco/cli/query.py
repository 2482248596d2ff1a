"""`arco query`: SQL over the catalog's own relations, or with `--data` over registered tables.

Results travel as an Arrow stream, because JSON rows omit nulls and so lose columns; only `--format json` passes
the server's own JSON on.
"""

import csv
import io
import re
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any, Final

from arco.cli.failures import OK, UsageProblem, failure_of
from arco.cli.render import Table, counted
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import Answer, ApiClient, ApiProblem

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW: Final = "application/vnd.apache.arrow.stream"
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_INTERNAL: Final = 500
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d(?:\.\d+)?))?")


def query(args: Namespace, terminal: Terminal) -> int:
    """Ask one SQL question and show the answer."""
    if args.json and args.format not in (None, "json"):
        raise UsageProblem(f"--json and --format {args.format} contradict each other", "give one of them")
    if args.data and args.as_of:
        raise UsageProblem("--as-of asks the catalog's own relations, not the data", "leave out --data or --as-of")
    shape = "json" if args.json else args.format or "table"
    terminal.as_json = shape == "json"
    sql = sys.stdin.read() if args.sql == "-" else args.sql
    with client_of(args) as client, terminal.step("asking"):
        answer = _asked(client, args, sql, "json" if shape == "json" else "arrow")
    if shape == "json":
        terminal.document(answer.json())
    elif args.explain and shape == "table":
        _plans(terminal, arrow_table(answer))
    elif shape == "csv":
        _csv(terminal, arrow_table(answer))
    else:
        _table(terminal, arrow_table(answer), cut_off=is_truncated(answer))
    if is_truncated(answer):
        terminal.note("the result was cut off at the server's limit: add LIMIT, filter or aggregate")
    return OK


def ask(
    client: ApiClient,
    path: str,
    sql: str,
    *,
    as_of: str | None = None,
    shape: str = "arrow",
    explain: str | None = None,
) -> Answer:
    """The answer of `/query` or `/query-data`. Raises `ApiProblem`, `ServerUnreachable`."""
    body = {"sql": sql} | ({"as_of": as_of} if as_of else {})
    accept = _ARROW if shape == "arrow" else "application/json"
    query = {"format": shape} | ({"explain": explain} if explain else {})
    return client.ask(path, body, query=query, accept=accept)


def arrow_table(answer: Answer) -> "pa.Table":
    """The rows of an Arrow answer."""
    from pyarrow import ipc  # noqa: PLC0415  # Arrow takes 0.15 s, which answers in JSON do without

    return ipc.open_stream(answer.body).read_all()


def shown(table: "pa.Table") -> Table:
    """An Arrow table as people read it: numbers to the right."""
    from pyarrow import types as kinds  # noqa: PLC0415  # Arrow takes 0.15 s, which answers in JSON do without

    numeric = frozenset(
        field.name
        for field in table.schema
        if kinds.is_integer(field.type) or kinds.is_floating(field.type) or kinds.is_decimal(field.type)
    )
    return Table(table.column_names, _rows(table), numeric)


def is_truncated(answer: Answer) -> bool:
    """True when the server left rows out."""
    return answer.headers.get("x-arco-truncated", "false").casefold() not in ("", "false", "0")


def as_of_text(given: str | None) -> str | None:
    """A point in time as the api reads it: a day or a time without a zone, as `history` shows them, is UTC."""
    match = _MOMENT.fullmatch(given or "")
    if match is None:
        return given
    day, time = match.groups()
    return f"{day}T{time or '00:00:00'}Z"


def _asked(client: ApiClient, args: Namespace, sql: str, shape: str) -> Answer:
    path = "/query-data" if args.data else "/query"
    try:
        return ask(client, path, sql, as_of=as_of_text(args.as_of), shape=shape, explain=args.explain)
    except ApiProblem as problem:
        failure = failure_of(problem)
        if failure is None:
            raise
        failure.advice = _advice(problem, args) or failure.advice
        raise failure from problem


def _advice(problem: ApiProblem, args: Namespace) -> str | None:
    if problem.status == _NOT_FOUND and args.as_of:
        return "see which manifests and times there are: arco catalog history"
    if problem.status == _INTERNAL:
        return "look in the server's log for the request id; arco doctor checks the server"
    if problem.status != _BAD_REQUEST:
        return None
    if "scoped path" in problem.message:
        return "put the files inside the workspace's storage and register them there: arco catalog register --help"
    if "as_of" in problem.message:
        return "see which manifests and times there are: arco catalog history"
    if "unknown relation" not in problem.message:
        return "correct the SQL; arco query --help shows examples"
    if args.data:
        return "tables are written catalog.schema.table: see arco catalog ls and arco query --help"
    return "to ask your own tables add --data; the catalog's relations are listed in arco query --help"


def _table(terminal: Terminal, table: "pa.Table", *, cut_off: bool) -> None:
    rows = counted(table.num_rows, "row")
    terminal.table(shown(table), f"the first {rows}; there are more" if cut_off else rows)


def _plans(terminal: Terminal, table: "pa.Table") -> None:
    """Plans are trees: lines of text, not cells."""
    for row in table.to_pylist():
        terminal.say(f"{row['plan_type']}\n{row['plan']}\n")


def _csv(terminal: Terminal, table: "pa.Table") -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_rows(table))
    terminal.say(text.getvalue().removesuffix("\n"))


def _rows(table: "pa.Table") -> list[tuple[Any, ...]]:
    return list(zip(*(_readable(column).to_pylist() for column in table.columns), strict=True))


def _readable(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    # Python's own times stop at microseconds; a nanosecond column would need pandas.
    import pyarrow as pa  # noqa: PLC0415  # Arrow takes 0.15 s, which answers in JSON do without

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_duration(column.type) and column.type.unit == "ns":
        return column.cast(pa.duration("us"), safe=False)
    if pa.types.is_time64(column.type) and column.type.unit == "ns":
        return column.cast(pa.time64("us"), safe=False)
    return column
