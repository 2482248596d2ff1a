"""`python -m tests.fuzz.sql --statements 1000000`: generated SQL is refused, or is provably a query that only reads.

Each statement goes through what a request goes through: the checks of the text, discovery by the engine, the check of
the names, execution over real rows. It does so in a child under the strict form of the sandbox's system-call filter,
where no file can be opened at all, and one attempt to open one for writing, to make a socket or to start a program ends
the child with a signal of its own: a child that lives has tried nothing. What is accepted is parsed again by an
independent parser (`sql_oracle`), and what that cannot read is judged by the steps of its plans. A statement that takes
longer than its time, or more memory than it may, ends its child; that is counted, and another goes on after it.

Violations, of which there must be none: a forbidden system call; an accepted text that the independent parser says is
no query; an accepted text that named a relation it may not see; a plan with a step that does not only read; a relation
that is not what it was; a crash.
"""

import argparse
import contextlib
import os
import signal
import struct
import sys
import time
from collections import Counter
from typing import Any, Final

from tests.fuzz.sql_grammar import RELATIONS, Grammar

BATCH: Final = 500
"""Statements of one seed: a finding is reproduced by its seed alone."""

_TIME_S: Final = 3
_ROWS: Final = 20
_PROGRESS: Final = struct.Struct("<QB")
_ENDS: Final = {-signal.SIGALRM: "killed: time", -signal.SIGXCPU: "killed: time", -signal.SIGABRT: "killed: memory"}
_OUTCOMES: Final = (
    *("refused: text", "refused: parser", "refused: not a query", "refused: relation", "refused: planning"),
    *("failed: execution", "answered", "answered, judged by its plans", "VIOLATION"),
)

_TOLD: Final = ("VIOLATION", "answered, judged by its plans")
"""Outcomes that are printed with the statement that had them."""


def run(first_seed: int, statements: int) -> Counter[str]:
    """What became of `statements` statements. Finished children are followed by others until all are done."""
    from tests.fuzz import sql_oracle

    from arco.query.worker import preload

    preload()
    sql_oracle.verdict("SELECT 1", ())
    totals: Counter[str] = Counter()
    seed, skip = first_seed, 0
    last = first_seed + -(-statements // BATCH)
    while seed < last:
        seed, skip, ended = _child(seed, skip, last, totals)
        if ended is None:
            break
        outcome = _ENDS.get(ended, f"VIOLATION: child ended with {ended}")
        totals[outcome] += 1
        if outcome.startswith("VIOLATION"):
            sys.stdout.write(f"{outcome}: seed {seed}, statement {skip}\n")
        skip += 1
        if skip == BATCH:
            seed, skip = seed + 1, 0
    return totals


def _child(seed: int, skip: int, last: int, totals: Counter[str]) -> tuple[int, int, int | None]:
    """Run a child until it is done (None) or ends; where it ended, and how."""
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _serve(seed, skip, last, (writing, parent))
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  # a child that ends in any other way is a finding
            os.write(2, f"{error!r}\n".encode())
            os._exit(9)
    os.close(writing)
    done = 0
    with os.fdopen(reading, "rb") as progress:
        while len(told := progress.read(_PROGRESS.size)) == _PROGRESS.size:
            position, outcome = _PROGRESS.unpack(told)
            totals[_OUTCOMES[outcome]] += 1
            done = position + 1
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    done = max(done, seed * BATCH + skip)
    return done // BATCH, done % BATCH, None if status == 0 else status


def _serve(seed: int, skip: int, last: int, told: tuple[int, int]) -> None:
    import pyarrow as pa

    from arco.query.confine import Allowance, confine
    from arco.query.holdings import relation_of
    from arco.query.session import warm_up

    pipe, parent = told
    tables = {
        name: pa.table(
            {column: [f"{column}{row}" for row in range(_ROWS)] for column in columns if column != "created_at"}
        )
        for name, columns in RELATIONS.items()
    }
    # As in a child: one relation for all statements, so that one which changed it would be noticed.
    rows = {name: relation_of([_with_times(table, RELATIONS[name])]) for name, table in tables.items()}
    warm_up()
    for sql in (
        "SELECT lower(name) FROM catalog.tables",
        "SELECT nope(",
        "SELECT nope FROM x",
        "SELECT CAST('x' AS INT)",
    ):
        one(sql, rows)
    allowance = Allowance()
    if not confine(parent, strict=True):
        raise RuntimeError("no system-call filter on this machine: nothing would be proved")
    for number in range(seed, last):
        grammar = Grammar(number)
        for index in range(BATCH):
            sql = grammar.statement()
            if number == seed and index < skip:
                continue
            signal.setitimer(signal.ITIMER_REAL, _TIME_S)
            allowance.grant(256 << 20, 0, _TIME_S)
            outcome, words = one(sql, rows)
            if outcome in _TOLD:
                # To a pipe, or to nobody: a child may not write to a file.
                with contextlib.suppress(OSError):
                    os.write(2, f"{outcome} seed {number} statement {index}: {words}: {sql!r}\n".encode())
            os.write(pipe, _PROGRESS.pack(number * BATCH + index, _OUTCOMES.index(outcome)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _check_unchanged(rows)


def _check_unchanged(rows: dict[str, Any]) -> None:
    """Raises `RuntimeError` when a relation is not what it was: every statement saw the same one."""
    from datafusion import SessionContext

    for name, relation in rows.items():
        context = SessionContext()
        context.catalog().schema().register_table("t", relation)
        if context.table("t").count() != _ROWS:
            raise RuntimeError(f"a statement changed {name}")


def _with_times(table: Any, columns: tuple[str, ...]) -> Any:
    if "created_at" not in columns:
        return table
    return table.append_column("created_at", [list(range(table.num_rows))])


def one(sql: str, rows: dict[str, Any]) -> tuple[str, str]:
    """What becomes of one statement, and in what words."""
    from arco.core.errors import ArcoError
    from arco.query.discovery import discover
    from arco.query.errors import NotReadOnly
    from arco.query.guard import refuse
    from arco.query.session import execute
    from arco.query.statement import read_statement
    from arco.query.wire import QueryLimits, Run

    try:
        statement = read_statement(sql)
    except ArcoError as fact:
        return "refused: text", fact.message
    try:
        names = discover(statement.sql, query=statement.query)
    except NotReadOnly as fact:
        return "refused: not a query", fact.message
    except ArcoError as fact:
        return "refused: parser", fact.message
    known: dict[Any, Any] = {name: rows.get(name.text.lower()) for name in names}
    if not all(name.text.lower() in rows for name in names):
        return "refused: relation", ", ".join(name.text for name in names)
    limits = QueryLimits(memory_bytes=64 << 20, rows_max=1_000)
    run_it = Run(sql=statement.sql, relations=(), limits=limits, output=None)
    try:
        try:
            execute(run_it, list(known.items()))
        except ArcoError:
            raise
        except BaseException as error:  # noqa: BLE001  # as the child does
            refuse(error)
    except NotReadOnly as fact:
        return "refused: not a query", fact.message
    except ArcoError as fact:
        planning = fact.message.startswith(("Error during planning", "Schema error", "This feature", "Execution error"))
        return ("refused: planning" if planning else "failed: execution"), fact.message
    found = _judge(statement.sql, rows)
    if found == "cannot_say":
        found = _judge_plans(run_it, known, rows)
        return ("answered, judged by its plans", "") if found == "agrees" else ("VIOLATION", found)
    return ("answered", "") if found == "agrees" else ("VIOLATION", found)


def _judge(sql: str, relations: Any) -> str:
    from tests.fuzz.sql_oracle import verdict

    return verdict(sql, set(relations))


def _judge_plans(run_it: Any, known: dict[Any, Any], relations: Any) -> str:
    """What a second reading says of a text that the independent parser does not know: the engine's plans, as text."""
    import msgspec
    from tests.fuzz.sql_oracle import plan_verdict

    from arco.query.session import execute

    told = execute(msgspec.structs.replace(run_it, explain="plan"), list(known.items()))
    plans = dict(zip(told.table["plan_type"].to_pylist(), told.table["plan"].to_pylist(), strict=True))
    return plan_verdict(plans["logical"], plans["physical"], set(relations))


def main() -> None:
    """Run, and say what was found; the exit code is 1 when something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.sql", description=__doc__)
    parser.add_argument("--statements", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1, help=f"the first seed; each makes {BATCH} statements")
    args = parser.parse_args()
    began = time.monotonic()
    totals = run(args.seed, args.statements)
    took = time.monotonic() - began
    total = sum(totals.values())
    lines = [f"{outcome:<45} {count:>10,}" for outcome, count in sorted(totals.items())]
    lines.append(f"{'statements':<45} {total:>10,}   {took:,.0f} s, {total / took:,.0f} a second")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(any(outcome.startswith("VIOLATION") for outcome in totals))


if __name__ == "__main__":
    main()
