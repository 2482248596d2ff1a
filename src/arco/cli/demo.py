"""`arco demo`: runs the flights project, shows what came of it, and goes on serving it like `arco dev`."""

import os
import shlex
import shutil
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from arco.cli.failures import OK, CommandProblem
from arco.cli.locations import file_url, local_root, storage_url
from arco.cli.query import shown
from arco.cli.render import counted
from arco.cli.serving import Deploying, told_of_children
from arco.cli.terminal import Terminal
from arco.clients.api import DEFAULT_URL
from arco.demo.examples import CODE, write_code
from arco.demo.pipeline import PipelineFailed
from arco.demo.processes import interruptible
from arco.demo.site import Running, Site, project_running
from arco.demo.source import DemoDataMissing, data_directory
from arco.demo.story import Answered, Story, Teller

CATALOG: Final = "nyc"
PROJECT: Final = "flights"
"""The folder of the project, below the one of everything else."""

_DESTINATIONS: Final = "SELECT dest, count(*) AS flights FROM nyc.clean.flights GROUP BY dest ORDER BY 2 DESC LIMIT 10"
_SLOWEST: Final = (
    "SELECT task_key, partition_key, completed_at - started_at AS ms "
    "FROM system.orchestration.tasks ORDER BY ms DESC LIMIT 5"
)


def demo(args: Namespace, terminal: Terminal) -> int:
    """Run the flights project, answer questions about it, and serve it until Ctrl-C."""
    started = time.perf_counter()
    root = local_root(storage_url(args.storage, os.environ))
    if root is None:
        raise CommandProblem(
            "the demo writes its files to this machine's disk, not to a bucket", "give a directory: --storage ./lake"
        )
    project = root / PROJECT
    site = Site(code=[str(project / CODE)], root=root, catalog=CATALOG, name="demo", port=args.port)
    with _told(), interruptible():
        data_directory()
        write_code("flights", project)
        with project_running(site) as children:
            story = Teller(project, children, terminal, started=started).tell()
            _show(terminal, children, story, root, serve=not args.no_serve)
    return OK


@contextmanager
def _told() -> Iterator[None]:
    """What can go wrong with the demo, as problems of the command."""
    try:
        with told_of_children():
            yield
    except DemoDataMissing as missing:
        raise CommandProblem(missing.message, "pip install 'arco[demo]'") from missing
    except PipelineFailed as failed:
        raise CommandProblem(failed.message, "arco demo tries it again, and goes on with what is there") from failed


def _show(terminal: Terminal, children: Running, story: Story, root: Path, *, serve: bool) -> None:
    # An interrupt from the first line on is the end that the last line offers.
    try:
        if terminal.as_json:
            terminal.document(_document(story, children.server.url, root))
        else:
            _present(terminal, story)
            terminal.say("\n" + _next_steps(children.server.url, root, story, kept=serve))
        if serve:
            code = root / PROJECT / CODE
            terminal.say(f"\nserving {children.server.url}; {code} is deployed again when it changes; Ctrl-C stops it")
            Deploying([str(code)], children, terminal, project=root / PROJECT).follow()
    except KeyboardInterrupt:
        terminal.note("\nstopping")


def _present(terminal: Terminal, story: Story) -> None:
    for answer in story.answers:
        terminal.say(f"\n{terminal.styled(answer.question.title, 'bold')}")
        terminal.say(terminal.styled(answer.question.sql, "dim"))
        took = f"{counted(answer.rows.num_rows, 'row')}, {answer.seconds * 1000:.0f} ms"
        terminal.table(shown(answer.rows), took)
    took = f"ready after {story.ready_s:.1f} s, the pipeline through after {story.pipeline_s:.1f} s"
    terminal.say(f"\n{took}, everything after {story.total_s:.1f} s")
    if any(run.earlier for run in story.runs):
        terminal.say("the runs are those of an earlier demo; change the code and they are made anew")


def _next_steps(server: str, root: Path, story: Story, *, kept: bool) -> str:
    url = server if kept else DEFAULT_URL  # a server that has ended answers no more; the next one is `arco serve`
    at = "" if url == DEFAULT_URL else f"export ARCO_URL={url}\n  "
    arco, at_root = program(sys.argv[0]), shlex.quote(str(root))
    reference = story.runs[0].run_id
    begin = [f"{arco} run clean.flights --upstream --partition month=2013-02"] if kept else []
    commands = [
        f"{at}{arco} runs",
        f"{arco} runs {reference}",
        f"{arco} why {reference} raw.weather",
        f"{arco} logs {story.runs[1].run_id}",
        *begin,
        f"{arco} lineage nyc.marts.worst_days",
        f"{arco} lineage nyc.marts.delays_by_carrier.late_percent",
        f"{arco} catalog show nyc.clean.flights",
        f'{arco} query --data "{_DESTINATIONS}"',
        f'{arco} query "{_SLOWEST}"',
        f"curl '{url}/api/v1/workspaces/default/runs/{reference}'",
        f"{arco} verify --storage {at_root}",
        f"{arco} init {PROJECT} --example flights",
    ]
    listed = "".join(f"\n  {command}" for command in commands)
    code = f"the pipeline is {root / PROJECT / CODE}"
    if kept:
        return f"{code}\ntry next, in a second terminal:{listed}\n  {url} in a browser"
    return f"{code}\ntry next:\n  {arco} serve --storage {at_root}\nand in a second terminal:{listed}"


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
        "project": str(root / PROJECT),
        "assets": list(story.assets),
        "runs": [{"name": one.part.name, "run_id": one.run_id, "earlier": one.earlier} for one in story.runs],
        "tasks": story.tasks,
        "remarks": list(story.remarks),
        "questions": [_answer_document(answer) for answer in story.answers],
        "timings": {
            "ready_s": round(story.ready_s, 3),
            "pipeline_s": round(story.pipeline_s, 3),
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
