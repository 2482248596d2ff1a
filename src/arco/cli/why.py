"""`arco why`: one task, and why it is as it is."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

from arco.cli.failures import OK
from arco.cli.render import Table, counted, visible
from arco.cli.session import client_of, moment
from arco.cli.terminal import Terminal
from arco.clients.api import path_of

_ENDED: Final = {
    "heartbeat_lost": "its worker was not heard of",
    "timed_out": "it took too long",
    "check_blocked": "a check blocked its output",
    "cancelled": "it was cancelled",
    "superseded": "another attempt took its place",
}
_NEXT: Final = {
    "retry_policy": "tried again by the retry policy at {at}",
    "operator_retry": "tried again by {by} at {at}",
    "superseded": "sent again at {at}",
}
_LAST: Final = {
    "attempts_used_up": "no attempts left",
    "not_retryable": "not retried: the error is permanent",
    "run_cancelled": "not retried: the run was called off",
}


def why(args: Namespace, terminal: Terminal) -> int:
    """Explain one task of a run."""
    with client_of(args) as client:
        workspace = client.target.workspace or "default"
        path = path_of("workspaces", workspace, "runs", args.run_id, "tasks", args.task)
        found = client.get(path).json()
    if terminal.as_json:
        terminal.document(found)
    else:
        explain(found, terminal)
    return OK


def explain(task: Mapping[str, Any], terminal: Terminal) -> None:
    """A task with the account of it."""
    account = task["account"]
    terminal.say(terminal.styled(f"{task['taskKey']} of run {task['runId']}: {task['state']}", "bold"))
    planned = account["planned"]
    path = f" ({' > '.join(planned['path'])})" if len(planned["path"]) > 1 else ""
    terminal.say(f"  planned: {planned['message']}{path}")
    for wait in task.get("waiting", ()):
        terminal.say(f"  waiting: {visible(wait['message'])}")
    for name, word in (("heldUpBy", "first comes"), ("holders", "slot held by")):
        for place in account.get(name, ()):
            terminal.say(f"  {word}: {_place(place, task['runId'])}")
    if off := account.get("notRun"):
        via = f" (by way of {', '.join(off['via'])})" if off.get("via") else ""
        terminal.say(f"  {task['state'].lower()}: {visible(off['message'])}{via}")
    attempts = account.get("attempts", ())
    if attempts:
        rows = [[str(one["attempt"]), *_times(one), one.get("outcome", "under way"), _told(one)] for one in attempts]
        terminal.table(
            Table(["attempt", "begun (UTC)", "ended", "outcome", "why"], rows), counted(len(rows), "attempt")
        )
    if task["state"] == "FAILED":
        terminal.note(f"next:  arco logs {task['runId']} {task['taskKey']}")
        terminal.note(f"       arco retry {task['runId']} {task['taskKey']}   once more, in this run")


def _place(place: Mapping[str, Any], run_id: str) -> str:
    run = "" if place["runId"] == run_id else f" of run {place['runId']}"
    worker = f" on {place['workerId']} since {moment(place['startedAt'])}" if "startedAt" in place else ""
    return f"{place['taskKey']}{run}, {place['state']}{worker}"


def _row(attempt: Mapping[str, Any]) -> list[str]:
    return [str(attempt["attempt"]), *_times(attempt), attempt.get("outcome", "under way"), _told(attempt)]


def _times(attempt: Mapping[str, Any]) -> list[str]:
    return [moment(attempt[name]) if name in attempt else "" for name in ("startedAt", "endedAt")]


def _told(attempt: Mapping[str, Any]) -> str:
    because, category = attempt.get("because", ""), attempt.get("category", "")
    said = [_ENDED.get(because, f"{category} {attempt.get('message', '')}".strip())]
    following = attempt.get("next")
    if following:
        at = moment(following["at"]) if "at" in following else "some time"
        said.append(_NEXT[following["why"]].format(at=at, by=following.get("by", "somebody")))
    if "last" in attempt:
        said.append(_LAST[attempt["last"]])
    return "; ".join(part for part in said if part)
