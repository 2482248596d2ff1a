"""Variables of the worker, which is no role: it runs user code and has nothing of the server (orchestration.md 7.6)."""

from typing import Any, Final

from arco.config.kinds import Parse, choice, flag, integer, port, scope_id, text, url, words
from arco.config.variables import WORKER, Variable

_CONTRACT: Final = "orchestration.md 7.6"


def _row(  # a row of the table
    name: str, doc: str, parse: Parse = text, *, rule: str = "", default: str = "", **more: Any
) -> Variable:
    return Variable(name=name, roles=(WORKER,), doc=doc, parse=parse, rule=rule, default=default, **more)


WORKER_VARIABLES: Final = (
    _row(
        "ARCO_FLOW_API_URL",
        "The api that tasks are reported to; dispatches that name another one are refused.",
        url,
        rule="http(s) URL",
        default="https://api.arco.dev",
        source=_CONTRACT,
    ),
    _row("ARCO_FLOW_API_KEY", "The token that logs are uploaded with.", secret=True, source=_CONTRACT),
    _row(
        "ARCO_FLOW_TASK_TOKEN",
        "The token for reports about dispatches that bring none.",
        secret=True,
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_WORKER_DISPATCH_SECRET",
        "What dispatches are recognised by. Without it, all are refused.",
        secret=True,
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_WORKER_DISPATCH_SECRET_PREVIOUS",
        "The dispatch secret before the last rotation; still accepted.",
        secret=True,
        source="operations.md 11",
    ),
    _row(
        "ARCO_FLOW_TENANT_ID",
        "The tenant whose tasks are run.",
        scope_id,
        rule="`[a-z0-9][a-z0-9_-]{0,62}`",
        required="always",
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_WORKSPACE_ID",
        "The workspace whose tasks are run.",
        scope_id,
        rule="`[a-z0-9][a-z0-9_-]{0,62}`",
        default="default",
        source=_CONTRACT,
    ),
    _row("ARCO_FLOW_USER_ID", "Who logs are uploaded as, with `ARCO_FLOW_DEBUG`.", default="worker", source=_CONTRACT),
    _row(
        "ARCO_FLOW_DEBUG",
        "Name tenant, workspace and user in headers, for an api with `ARCO_DEBUG`.",
        flag,
        rule="boolean",
        default="false",
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_LOG_LEVEL",
        "The least level that is logged.",
        choice("debug", "info", "warning", "error"),
        rule="debug, info, warning or error",
        default="info",
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_LOG_FORMAT",
        "`json` for machines, `text` for people.",
        choice("json", "text"),
        rule="json or text",
        default="text",
    ),
    _row(
        "ARCO_FLOW_WORKER_TARGETS", "Modules, packages or files with assets, unless named on the command line.", words
    ),
    _row(
        "ARCO_FLOW_WORKER_WAREHOUSE",
        "Where tables of assets lie.",
        rule="a folder, or a URL such as gs://bucket/folder",
        default="warehouse",
    ),
    _row(
        "ARCO_FLOW_WORKER_CATALOG",
        "The catalog that tables are registered in, by namespace and name; unset: in none.",
        rule="the name of a catalog",
    ),
    _row("ARCO_FLOW_WORKER_HOST", "The address to listen on.", default="127.0.0.1"),
    _row(
        "ARCO_FLOW_WORKER_PORT",
        "The port to listen on; `PORT` goes before it.",
        port,
        rule="0 to 65535, 0 is any free port",
        default="8090",
    ),
    _row("ARCO_FLOW_WORKER_ID", "The name in reports; default: made of host and process."),
    _row(
        "ARCO_FLOW_WORKER_SLOTS",
        "Tasks at once, each in a process of its own.",
        integer(1, 1_024),
        rule="1 to 1024",
        default="8",
    ),
    _row(
        "ARCO_FLOW_WORKER_CHILD_TASKS",
        "Tasks a child process runs before it is replaced; 1 is a fresh one for each.",
        integer(1, 1_000_000),
        rule="1 to 1000000",
        default="100",
    ),
    _row(
        "ARCO_FLOW_WORKER_CHILD_GROWTH_MB",
        "How much larger a child may have become after a task before it is replaced.",
        integer(1, 1_048_576),
        rule="1 to 1048576",
        default="256",
    ),
    _row(
        "ARCO_FLOW_WORKER_TASK_MEMORY_MB",
        "Memory of one task; beyond it the task fails. Unset: what the machine has.",
        integer(64, 16_777_216),
        rule="64 to 16777216",
    ),
    _row(
        "ARCO_FLOW_WORKER_GRACE_SECS",
        "How long a task that is to end may take until its process is killed.",
        integer(0, 3_600),
        rule="0 to 3600",
        default="10",
    ),
    _row(
        "ARCO_FLOW_WORKER_DRAIN_SECS",
        "How long a stopping worker lets its tasks run on.",
        integer(0, 86_400),
        rule="0 to 86400",
        default="25",
    ),
    _row(
        "ARCO_FLOW_WORKER_REPORT_SECS",
        "How long a report is tried again while the api does not take it.",
        integer(1, 86_400),
        rule="1 to 86400",
        default="600",
    ),
)
"""Variables of the worker."""
