"""Commands of orchestration as argparse parsers."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from arco.cli import examples_runs as examples

Command = Callable[..., Any]

_RUNS: Final = "arco.cli.runs"
_DEPLOYING: Final = "arco.cli.deploying"
EXAMPLES: Final = ("orders", "flights")
STATES: Final = ("pending", "running", "cancelling", "succeeded", "failed", "cancelled")


class Kinds(NamedTuple):
    """What the parser of everything gives: how commands and flags are made."""

    command: Command
    client: Callable[[Any], None]
    positive: Callable[[str], int]
    port: Callable[[str], int]


def add_runs(commands: Any, kinds: Kinds) -> None:
    """Add `init dev deploy plan run runs logs cancel rerun retry why`."""
    command, client, positive, port = kinds
    init = command(commands, "init", "arco.cli.init:init", "make a project that works at once", epilog=examples.INIT)
    init.add_argument("folder", nargs="?", default=".", help="where (default: here)")
    init.add_argument("--example", choices=EXAMPLES, default="orders", help="which project (default orders)")
    init.add_argument("--json", action="store_true", help="one JSON document on standard output, for programs")
    dev = command(commands, "dev", "arco.cli.dev:dev", "server and worker for a project", epilog=examples.DEV)
    dev.add_argument("target", nargs="*", metavar="CODE", help="module, package or file with assets (assets.py)")
    dev.add_argument("--port", type=port, help="port of the api (default 8080, or any free one when taken)")
    dev.add_argument("--storage", metavar="PATH", help="where everything lies (default ./.arco)")
    dev.add_argument("--catalog", default="lake", help="the catalog that tables are registered in (default lake)")
    deploy = command(commands, "deploy", f"{_DEPLOYING}:deploy", "deploy assets", epilog=examples.DEPLOY)
    deploy.add_argument("target", nargs="+", metavar="CODE", help="module, package or file with assets")
    plan = command(
        commands, "plan", f"{_DEPLOYING}:plan", "show what a run would consist of, and why", epilog=examples.PLAN
    )
    _selection(plan)
    run = command(commands, "run", f"{_RUNS}:run", "run assets and watch them to their end", epilog=examples.RUN)
    _selection(run)
    run.add_argument("--run-key", metavar="KEY", help="the same key is the same run, however often it is asked for")
    run.add_argument("--label", action="append", metavar="NAME=VALUE", help="a label of the run")
    run.add_argument("--timeout", type=positive, metavar="SECONDS", help="call the run off after so long")
    runs = command(commands, "runs", f"{_RUNS}:runs", "list runs, or show one", epilog=examples.RUNS)
    runs.add_argument("run_id", nargs="?", metavar="RUN", help="the run to show; nothing: the newest runs")
    runs.add_argument("--state", choices=STATES, help="only runs in this state")
    runs.add_argument("--limit", type=positive, metavar="N", default=20, help="at most N runs (default 20)")
    logs = command(commands, "logs", "arco.cli.logs:logs", "print what tasks wrote, or write", epilog=examples.LOGS)
    logs.add_argument("run_id", metavar="RUN")
    logs.add_argument("task", nargs="?", metavar="TASK", help="only of this task")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing until the run is over")
    cancel = command(commands, "cancel", f"{_RUNS}:cancel", "call a run off", epilog=examples.CANCEL)
    cancel.add_argument("run_id", metavar="RUN")
    cancel.add_argument("--reason", metavar="TEXT", help="why, for whoever looks")
    rerun = command(
        commands, "rerun", f"{_RUNS}:rerun", "run again what did not succeed, or some tasks", epilog=examples.RERUN
    )
    rerun.add_argument("run_id", metavar="RUN")
    rerun.add_argument("--task", action="append", metavar="TASK", help="this task (default: all that did not succeed)")
    _closure(rerun)
    retry = command(
        commands, "retry", f"{_RUNS}:retry", "try a failed task once more in its run", epilog=examples.RETRY
    )
    retry.add_argument("run_id", metavar="RUN")
    retry.add_argument("task", metavar="TASK")
    for watching in (run, rerun, retry):
        watching.add_argument("--no-wait", action="store_true", help="do not watch it to its end")
    why = command(commands, "why", "arco.cli.why:why", "say why a task is as it is", epilog=examples.WHY)
    why.add_argument("run_id", metavar="RUN")
    why.add_argument("task", metavar="TASK")
    for one in (deploy, plan, run, runs, logs, cancel, rerun, retry, why):
        client(one)


def _selection(parser: Any) -> None:
    parser.add_argument("asset", nargs="+", metavar="ASSET", help="namespace.name of an asset")
    _closure(parser)
    parser.add_argument("--partition", action="append", metavar="DIMENSION=VALUE", help="for instance date=2025-01-31")


def _closure(parser: Any) -> None:
    parser.add_argument("--upstream", action="store_true", help="and everything it is made from")
    parser.add_argument("--downstream", action="store_true", help="and everything that is made from it")
