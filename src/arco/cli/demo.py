"""`arco demo`: shows what the demo does and found, and keeps its server running."""

import os
import shlex
import shutil
import signal
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from arco.cli.failures import OK, CommandProblem
from arco.cli.locations import file_url, local_root, storage_url, workspace_directory
from arco.cli.query import shown
from arco.cli.render import counted
from arco.cli.terminal import Terminal
from arco.clients.api import DEFAULT_URL
from arco.demo.server import ChildServer, PortTaken, ServerFailed, child_server
from arco.demo.source import DemoDataMissing, data_directory
from arco.demo.story import Answered, Story, Teller


def demo(args: Namespace, terminal: Terminal) -> int:
    """Set up the flights demo, answer questions about it, and serve it until Ctrl-C."""
    root = local_root(storage_url(args.storage, os.environ))
    if root is None:
        raise CommandProblem(
            "the demo writes its files to this machine's disk, not to a bucket", "give a directory: --storage ./lake"
        )
    try:
        data_directory()
        with _interruptible(), _server(args, root) as (url, child):
            wait_ready = child.wait_ready if child else _already_ready
            story = Teller(workspace_directory(root, "local", "default"), url, terminal).tell(wait_ready)
            serving = None if args.no_serve else child
            _show(terminal, serving, lambda: _present(terminal, story, url, root, kept=not (child and args.no_serve)))
    except DemoDataMissing as missing:
        raise CommandProblem(missing.message, "pip install 'arco[demo]'") from missing
    except PortTaken as taken:
        raise CommandProblem(taken.message, "name another with --port, or leave --port out for any free one") from taken
    except ServerFailed as failed:
        raise CommandProblem(failed.message, f"its log is {failed.details['log']}; then: arco doctor") from failed
    return OK


def _show(terminal: Terminal, serving: ChildServer | None, present: Callable[[], None]) -> None:
    # An interrupt from the first line on is the end that the last line offers.
    try:
        present()
        if serving is not None:
            terminal.say(f"\nserving {serving.url}; Ctrl-C stops it")
            serving.wait_ended()
    except KeyboardInterrupt:
        terminal.note("\nstopping the server" if serving else "\nstopped")


def _already_ready() -> None:
    """The server that was named with `--url` was running before us."""


@contextmanager
def _server(args: Namespace, root: Path) -> Iterator[tuple[str, ChildServer | None]]:
    if args.url:
        yield args.url, None
        return
    with child_server(root, args.port) as child:
        yield child.url, child


@contextmanager
def _interruptible() -> Iterator[None]:
    """A polite kill, or a closed terminal, stops the demo as Ctrl-C does: its server does not outlive it."""

    def interrupt(_signal: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has fewer
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _present(terminal: Terminal, story: Story, url: str, root: Path, *, kept: bool) -> None:
    if terminal.as_json:
        terminal.document(_document(story, url, root))
        return
    for answer in story.answers:
        terminal.say(f"\n{terminal.styled(answer.question.title, 'bold')}")
        terminal.say(terminal.styled(answer.question.sql, "dim"))
        took = f"{counted(answer.rows.num_rows, 'row')}, {answer.seconds * 1000:.0f} ms"
        terminal.table(shown(answer.rows), took)
    terminal.say(
        f"\nfirst SQL answer {story.first_answer_s:.1f} s after the start, everything {story.total_s:.1f} s; "
        f"files in {root}"
    )
    terminal.say("\n" + _next_steps(url, root, kept=kept))


def _next_steps(server: str, root: Path, *, kept: bool) -> str:
    url = server if kept else DEFAULT_URL  # a server that has ended answers no more; the next one is `arco serve`
    at = "" if url == DEFAULT_URL else f"export ARCO_URL={url}\n  "
    sql = "SELECT dest, count(*) AS flights FROM nyc.raw.flights GROUP BY dest ORDER BY flights DESC LIMIT 10"
    arco, at_root = program(sys.argv[0]), shlex.quote(str(root))
    commands = f"""\
  {at}{arco} catalog ls nyc.raw
  {arco} catalog show nyc.raw.flights
  {arco} catalog history nyc.raw.flights
  {arco} lineage nyc.marts.worst_days
  {arco} query --data "{sql}"
  {arco} query "SELECT name, format, location FROM system.catalog.tables"
  curl '{url}/api/v1/catalogs/nyc/schemas/raw/tables/flights?include=columns'
  {arco} verify --storage {at_root}"""
    if kept:
        browser = f"  {url} in a browser"
        return f"try next, in a second terminal:\n{commands}\n{browser}"
    return f"try next:\n  {arco} serve --storage {at_root}\nand in a second terminal:\n{commands}"


def program(started_as: str) -> str:
    """How to start arco again: by its name when the shell finds that, else as it was started now."""
    path = Path(started_as)
    if path.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m arco"
    found = shutil.which(path.name)
    return path.name if found and Path(found).absolute() == path.absolute() else shlex.quote(started_as)


def _document(story: Story, url: str, root: Path) -> dict[str, Any]:
    return {
        "ok": True,
        "url": url,
        "storage": file_url(root),
        "tables": story.tables,
        "written": list(story.written),
        "lineage_edges": story.edges,
        "questions": [_answer_document(answer) for answer in story.answers],
        "timings": {
            "server_ready_s": round(story.server_ready_s, 3),
            "registered_s": round(story.registered_s, 3),
            "first_sql_answer_s": round(story.first_answer_s, 3),
            "total_s": round(story.total_s, 3),
        },
    }


def _answer_document(answer: Answered) -> dict[str, Any]:
    question = answer.question
    rows = [{name: _plain(value) for name, value in row.items()} for row in answer.rows.to_pylist()]
    return {
        "id": question.id,
        "title": question.title,
        "path": question.path,
        "sql": question.sql,
        "rows": rows,
        "seconds": round(answer.seconds, 4),
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
