"""Variables of queues, workers' addresses and task tokens of the dispatcher and the sweeper (orchestration.md 8.1)."""

from typing import Any, Final

from arco.config.kinds import BadValue, Parse, choice, flag, integer, queue_name, secret, shown, text, url
from arco.config.variables import API, DISPATCHER, SWEEPER, Variable
from arco.core.instant import parse_ms

_FLOW: Final = (DISPATCHER, SWEEPER)
_CONTRACT: Final = "orchestration.md 8.1"

CLOUD_TASKS: Final = "cloud_tasks"
HTTP: Final = "http"
MEMORY: Final = "memory"
LOCAL_FILE: Final = "local_file"
"""The contract's name for a queue of this machine; ours pushes over HTTP and keeps its intents in the ledger."""

DEFAULT_QUEUE: Final = "default-queue"  # as domains.orchestration.keys says, which configuration does not know


def worker_routes(value: str) -> dict[str, tuple[str, ...]]:
    """Base URLs of workers by queue, from `url` and `queue=url` with commas between them. Raises `BadValue`."""
    found: dict[str, tuple[str, ...]] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        queue, equals, base = (part.strip() for part in item.partition("="))
        if not equals:
            queue, base = DEFAULT_QUEUE, item
        if not queue:
            raise BadValue(f"must be url or queue=url, with commas between them (got {shown(item)})")
        found[queue] = (*found.get(queue, ()), url(base))
    return found


def instant(value: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 time with a zone. Raises `BadValue`."""
    try:
        return parse_ms(value)
    except ValueError:
        raise BadValue(f"must be a time such as 2026-01-01T00:00:00Z (got {shown(value)})") from None


def _row(  # a row of the table
    name: str,
    doc: str,
    parse: Parse = text,
    *,
    rule: str = "",
    default: str = "",
    roles: tuple[str, ...] = _FLOW,
    **more: Any,
) -> Variable:
    return Variable(name=name, roles=roles, doc=doc, parse=parse, rule=rule, default=default, **more)


DISPATCH_VARIABLES: Final = (
    _row(
        "ARCO_FLOW_QUEUE",
        "The name of the queue.",
        queue_name,
        rule="`[A-Za-z0-9-]{1,100}`",
        default="arco-flow-dispatch",
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_QUEUE_ADAPTER",
        "The kind of queue: Google's, or HTTP push to workers. All roles in one process: `http`.",
        choice(CLOUD_TASKS, HTTP, LOCAL_FILE, MEMORY),
        rule="cloud_tasks or http; local_file (the same as http) or memory in dev",
        default=CLOUD_TASKS,
        source="operations.md 1.2",
    ),
    _row(
        "ARCO_FLOW_WORKERS",
        "Workers of each queue; what is not named here goes to the dispatch target.",
        worker_routes,
        rule="comma list of `url` (default-queue) and `queue=url`; http(s)",
    ),
    _row(
        "ARCO_FLOW_PUSH_PER_WORKER",
        "Most pushes at once to a worker that does not say how many tasks it runs.",
        integer(1, 1_024),
        rule="1 to 1024",
        default="64",
    ),
    _row(
        "ARCO_FLOW_TIMER_QUEUE",
        "The queue of timers; default: `ARCO_FLOW_QUEUE`.",
        queue_name,
        rule="`[A-Za-z0-9-]{1,100}`",
        source=_CONTRACT,
    ),
    _row(
        "ARCO_FLOW_TIMER_TARGET_URL",
        "Where fired timers are taken; without it timers fire when the sweeper looks.",
        url,
        source=_CONTRACT,
    ),
    _row("ARCO_FLOW_TIMER_TARGET_AUDIENCE", "The audience of fired timers; default: their target.", source=_CONTRACT),
    _row(
        "ARCO_FLOW_APPLY_QUEUE_RETRY_CONFIG",
        "Whether the queue is given our retry settings at start: 5 attempts, 10 to 300 s apart, for an hour.",
        flag,
        rule="boolean",
        default="false",
        source=_CONTRACT,
    ),
    _row("ARCO_FLOW_CLOUD_TASKS_ENDPOINT", "host:port of an emulated Cloud Tasks, without TLS.", rule="dev only"),
    _row(
        "ARCO_TASK_TOKEN_SECRET_PREVIOUS",
        "The task token secret before the last rotation; still accepted.",
        secret,
        rule="at least 32 bytes",
        roles=(API, *_FLOW),
        secret=True,
        source="operations.md 11",
    ),
    _row(
        "ARCO_TASK_TOKEN_SECRET_PREVIOUS_NOT_AFTER",
        "When the task token secret before the last rotation is accepted no longer.",
        instant,
        rule="a time such as 2026-01-01T00:00:00Z",
        roles=(API, *_FLOW),
        source="operations.md 11",
    ),
)
"""Variables of queues and task tokens."""
