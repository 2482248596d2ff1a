"""`arco run`, `runs`, `cancel`, `rerun`, `retry`: asking for runs and watching them to their end."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from arco.cli.failures import OK, PROBLEM, CommandProblem
from arco.cli.render import Table, counted
from arco.cli.session import client_of, moment
from arco.cli.terminal import Terminal
from arco.cli.told_tasks import Progress, next_attempt, trace_lines, warnings
from arco.clients.api import PREFIX, ApiClient, Call, path_of
from arco.clients.following import run_events

_MARKS: Final = {"SUCCEEDED": "✓", "FAILED": "✗", "SKIPPED": "-", "CANCELLED": "-", "RUNNING": "▸"}
_STYLES: Final = {"SUCCEEDED": "green", "FAILED": "red", "SKIPPED": "dim", "CANCELLED": "dim", "RUNNING": "yellow"}
_PATH_MAX: Final = 10
_LEVELS_MAX: Final = 12
_INDENT: Final = "  "


def workspace_of(args: Namespace, client: ApiClient) -> str:
    """The workspace the command is about."""
    return client.target.workspace or "default"


def request_of(args: Namespace) -> dict[str, Any]:
    """What the flags ask for, as the api takes it."""
    partitions = [_pair(text, "--partition date=2025-01-31") for text in args.partition or ()]
    labels = [_pair(text, "--label team=growth") for text in getattr(args, "label", None) or ()]
    body: dict[str, Any] = {
        "selection": args.asset,
        "includeUpstream": args.upstream,
        "includeDownstream": args.downstream,
        "partitions": [{"key": key, "value": value} for key, value in partitions],
        "labels": dict(labels),
    }
    run_key, timeout = getattr(args, "run_key", None), getattr(args, "timeout", None)
    return body | ({"runKey": run_key} if run_key else {}) | ({"timeoutSeconds": timeout} if timeout else {})


def _pair(text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise CommandProblem(f"{text!r} is no name=value", f"write it as in {example}")
    return key, value


def run(args: Namespace, terminal: Terminal) -> int:
    """Trigger a run and, unless told otherwise, watch it to its end; the exit code tells how it ended.

    `run show RUN` shows one: no asset is called `show`, for every asset has a namespace.
    """
    if args.asset[0] == "show":
        return _run_show(args, terminal)
    with client_of(args) as client:
        runs = path_of("workspaces", workspace_of(args, client), "runs")
        begun = client.create(runs, request_of(args)).json()
        if not begun["created"]:
            terminal.note(f"this run key stands for a run that is there already: {begun['runId']}")
        if args.no_wait:
            return _told(terminal, begun)
        return watched(client, f"{runs}/{begun['runId']}", terminal)


def _run_show(args: Namespace, terminal: Terminal) -> int:
    if len(args.asset) != 2:
        raise CommandProblem("say which run to show", "write it as in: arco run show 01JRUN00000000000000000000")
    args.run_id = args.asset[1]
    return runs(args, terminal)


def rerun(args: Namespace, terminal: Terminal) -> int:
    """Run again what a run did not get done, or some of its tasks."""
    body: dict[str, Any] = {"mode": "subset" if args.task else "fromFailure", "selection": args.task or []}
    body |= {"includeUpstream": args.upstream, "includeDownstream": args.downstream}
    with client_of(args) as client:
        runs = path_of("workspaces", workspace_of(args, client), "runs")
        begun = client.ask(f"{runs}{path_of(args.run_id)}/rerun", body).json()
        if args.no_wait:
            return _told(terminal, begun)
        return watched(client, f"{runs}/{begun['runId']}", terminal)


def retry(args: Namespace, terminal: Terminal) -> int:
    """Try a failed task once more within its run."""
    with client_of(args) as client:
        one = path_of("workspaces", workspace_of(args, client), "runs", args.run_id)
        told = client.send(Call(method="POST", path=f"{PREFIX}{one}{path_of('tasks', args.task, 'retry')}")).json()
        if args.no_wait:
            return _told(terminal, told)
        return watched(client, one, terminal)


def cancel(args: Namespace, terminal: Terminal) -> int:
    """Call a run off."""
    body = {"reason": args.reason} if args.reason else {}
    with client_of(args) as client:
        path = path_of("workspaces", workspace_of(args, client), "runs", args.run_id, "cancel")
        told = client.ask(path, body).json()
    if terminal.as_json:
        terminal.document(told)
    else:
        ending = "running tasks are told with their next heartbeat" if told["state"] == "CANCELLING" else "it is over"
        terminal.say(f"{told['runId']} is {told['state']}: {ending}")
    return OK


def runs(args: Namespace, terminal: Terminal) -> int:
    """List runs, or show one."""
    with client_of(args) as client:
        base = path_of("workspaces", workspace_of(args, client), "runs")
        if args.run_id:
            path = f"{base}{path_of(args.run_id)}"
            found = client.get(path).json()
            if terminal.as_json:
                terminal.document(found)
            else:
                show(found, client.get(f"{path}/graph").json(), terminal)
            return OK
        query = {"limit": str(args.limit)} | ({"state": args.state.upper()} if args.state else {})
        listed = client.get(base, query).json()["runs"]
    if terminal.as_json:
        terminal.document(listed)
    elif not listed:
        terminal.say("no runs yet; begin one with: arco run NAMESPACE.ASSET")
    else:
        rows = [[one["runId"], one["state"], moment(one["createdAt"]), _progress(one), *_asked(one)] for one in listed]
        columns = ["run", "state", "begun (UTC)", "tasks", "assets", "key"]
        terminal.table(Table(columns, rows), counted(len(rows), "run"))
    return OK


def watched(client: ApiClient, path: str, terminal: Terminal) -> int:
    """Tell of a run's tasks as they change, until it is over; OK when it succeeded."""
    try:
        found = _followed(client, path, terminal)
    except KeyboardInterrupt:
        run_id = path.rpartition("/")[2]
        terminal.note(f"\nthe run goes on; look at it with: arco runs {run_id}   or end it with: arco cancel {run_id}")
        raise
    if terminal.as_json:
        terminal.document(found)
    else:
        _tell_end(found, terminal)
    return OK if found["state"] == "SUCCEEDED" else PROBLEM


def _followed(client: ApiClient, path: str, terminal: Terminal) -> dict[str, Any]:
    seen: dict[str, tuple[str, int]] = {}
    traces: dict[str, Sequence[str]] = {}
    progress = Progress()
    with closing(run_events(client.target, path)) as events, terminal.progress(progress.label):
        for event in events:
            if terminal.as_json:
                continue
            if event.name == "run" and not seen:
                tasks = counted(event.data["taskCounts"]["total"], "task")
                terminal.say(f"run {event.data['runId']}: {tasks}")
            elif event.name == "task":
                progress.note(event.data)
                _tell_change(event.data, seen, traces, terminal)
    found: dict[str, Any] = client.get(path).json()
    return found


def _tell_change(
    task: Mapping[str, Any], seen: dict[str, tuple[str, int]], traces: dict[str, Sequence[str]], terminal: Terminal
) -> None:
    now = (task["state"], task["attempt"])
    before = seen.get(task["taskKey"])
    seen[task["taskKey"]] = now
    again = task["state"] == "PENDING" and "retryNotBefore" in task
    if before == now or (task["state"] not in _MARKS and not again):
        return
    terminal.say(_line(task, terminal))
    if again and traces.get(task["taskKey"]) != trace_lines(task):
        # Who reads this wants to see now what is wrong, not after the last attempt; and not once more.
        traces[task["taskKey"]] = trace_lines(task)
        _tell_trace(task, terminal)


def _line(task: Mapping[str, Any], terminal: Terminal) -> str:
    state = task["state"]
    attempt = f" (attempt {task['attempt']} of {task['maxAttempts']})" if task["attempt"] > 1 else ""
    text = f"  {_MARKS.get(state, '…')} {task['taskKey']}  {state}{attempt}{_why(task)}"
    return terminal.styled(text, _STYLES[state]) if state in _STYLES else text


def _why(task: Mapping[str, Any]) -> str:
    """Why a task is as it is, where that is not plain."""
    if "retryNotBefore" in task:
        return f": {task.get('errorMessage', '')} - tried again {next_attempt(task)}"
    if "skipAttribution" in task:
        because = task["skipAttribution"]
        return f": {because['upstreamTaskKey']} is {because['upstreamResolution']}"
    if task["state"] == "FAILED":
        error = task.get("error") or {}
        return f": {error.get('category', '')} {task.get('errorMessage', '')}".rstrip()
    return ""


def _tell_end(found: Mapping[str, Any], terminal: Terminal) -> None:
    counts = found["taskCounts"]
    kinds = ("succeeded", "failed", "skipped", "cancelled")
    told = ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind])
    style = "green" if found["state"] == "SUCCEEDED" else "red"
    for warning in warnings(found):
        terminal.say(terminal.styled(f"  ! {warning}", "yellow"))
    terminal.say(terminal.styled(f"{found['state']}: {told or 'no tasks'}", style))
    failed = [task for task in found["tasks"] if task["state"] == "FAILED"]
    for task in failed:
        _tell_failure(task, terminal)
    if failed:
        terminal.note(f"next:  arco logs {found['runId']} {failed[0]['taskKey']}")
        terminal.note(f"       arco retry {found['runId']} {failed[0]['taskKey']}   once more, in this run")
        terminal.note(f"       arco rerun {found['runId']}   a new run of what did not succeed")


def _tell_failure(task: Mapping[str, Any], terminal: Terminal) -> None:
    error = task.get("error") or {}
    terminal.say("")
    category = error.get("category", "FAILED")
    terminal.say(terminal.styled(f"{task['taskKey']}: {category} in attempt {task['attempt']}", "bold"))
    _tell_trace(task, terminal)
    if "advice" in task:
        terminal.say(f"  what to do: {task['advice']}")


def _tell_trace(task: Mapping[str, Any], terminal: Terminal) -> None:
    for line in trace_lines(task):
        terminal.say(f"  {line}")


def show(found: Mapping[str, Any], graph: Mapping[str, Any], terminal: Terminal) -> None:
    """A run as a graph: its tasks by depth, how long each took, and what each waits for."""
    began = moment(found["createdAt"])
    terminal.say(f"run {found['runId']}: {found['state']}, begun {began} UTC")
    for name, text in (found.get("labels") or {}).items():
        terminal.say(f"  {name}={text}")
    tasks = {task["taskKey"]: task for task in found["tasks"]}
    rows = [[*_placed(node), _reason(tasks[node["taskKey"]])] for node in graph["nodes"] if node["taskKey"] in tasks]
    terminal.table(Table(["task", "state", "attempt", "took", "why"], rows), counted(len(rows), "task"))
    path: Sequence[str] = graph["criticalPath"]
    if len(path) > 1:
        named = path if len(path) <= _PATH_MAX else [*path[: _PATH_MAX // 2], "...", *path[-_PATH_MAX // 2 :]]
        terminal.say(f"* longest path: {' > '.join(named)}, {_seconds(graph['criticalPathMs'])}")


def _placed(node: Mapping[str, Any]) -> list[str]:
    """A task below what it waits for, and how long it took since it was ready."""
    took = _seconds(node["elapsedMs"]) if node["elapsedMs"] else ""
    mark = " *" if node["critical"] else ""
    name = f"{_INDENT * min(node['level'], _LEVELS_MAX)}{node['taskKey']}{mark}"
    return [name, node["state"], str(node["attempt"]), took]


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms // 60_000} min {ms // 1_000 % 60} s"


def _reason(task: Mapping[str, Any]) -> str:
    if why := _why(task):
        return why.removeprefix(": ")
    waits = [wait["message"] for wait in task.get("waiting", ())]
    return "; ".join(waits) or str(task.get("progress", ""))


def _progress(one: Mapping[str, Any]) -> str:
    failed = f", {one['tasksFailed']} failed" if one["tasksFailed"] else ""
    return f"{one['tasksSucceeded']} of {one['taskCount']}{failed}"


def _asked(one: Mapping[str, Any]) -> list[str]:
    """What a run was to make, and the key it was asked for with."""
    assets: list[str] = one.get("assets", [])
    more = one.get("assetCount", 0) - len(assets)
    return [", ".join(assets) + (f" and {more:,} more" if more > 0 else ""), one.get("runKey", "")]


def _told(terminal: Terminal, told: Mapping[str, Any]) -> int:
    if terminal.as_json:
        terminal.document(told)
    else:
        terminal.say(f"{told['runId']} {told['state']}; watch it with: arco runs {told['runId']}")
    return OK
