"""`arco logs`: what a run's tasks wrote, or write."""

import json
from argparse import Namespace
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from arco.cli.failures import OK
from arco.cli.runs import workspace_of
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import path_of
from arco.clients.event_stream import ServerEvent
from arco.clients.following import Following, log_events, whole_log


def logs(args: Namespace, terminal: Terminal) -> int:
    """Print what a run's tasks wrote; with `--follow` what they write, until the run is over."""
    with client_of(args) as client:
        path = path_of("workspaces", workspace_of(args, client), "runs", args.run_id)
        if args.follow:
            client.get(path)  # who asks for a run that is none is told so, however it is followed
            return _follow(log_events(client.target, path, args.task), _Printer(terminal, one_task=bool(args.task)))
        text = whole_log(client, path, {"taskKey": args.task} if args.task else {})
    if terminal.as_json:
        terminal.document({"logs": text})
    else:
        terminal.say(text.rstrip("\n"))
    return OK


def _follow(events: Following, printer: "_Printer") -> int:
    with closing(events):
        for event in events:
            printer.tell(event)
    printer.end()
    return OK


class _Printer:
    """Prints logs as they come: of one task as it wrote them, of several line by line with the task in front."""

    def __init__(self, terminal: Terminal, *, one_task: bool) -> None:
        self._terminal = terminal
        self._one_task = one_task
        self._halves: dict[tuple[str, str], str] = {}
        self._open = False

    def tell(self, event: ServerEvent) -> None:
        """Print an event; with `--json` each is a document on a line of its own."""
        if self._terminal.as_json:
            self._terminal.write(json.dumps({"event": event.name, **event.data}, ensure_ascii=False) + "\n")
        elif event.name == "gap":
            self._terminal.note(f"{event.data['taskKey']}, attempt {event.data['attempt']}: {event.data['message']}")
        elif event.name == "reset":
            self._terminal.note("the log begins anew")
        elif event.name == "log":
            for part in event.data["parts"]:
                self._part(event.data, part)

    def end(self) -> None:
        """Print what is left of lines that have not ended."""
        for (task_key, _), text in self._halves.items():
            if text:
                self._terminal.say(f"{task_key} | {text}")
        if self._open:
            self._terminal.say()

    def _part(self, entry: Mapping[str, Any], part: Mapping[str, str]) -> None:
        text = part["text"]
        if self._one_task:
            self._terminal.write(text)
            self._open = not text.endswith("\n")
            return
        name = (entry["taskKey"], part["stream"])
        *lines, self._halves[name] = (self._halves.get(name, "") + text).split("\n")
        for line in lines:
            self._terminal.say(f"{entry['taskKey']} | {line}")
