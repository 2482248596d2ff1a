"""`arco audit`: who did what in the workspace, and who was refused."""

from argparse import Namespace
from typing import Final

from arco.cli.failures import OK
from arco.cli.query import as_of_text
from arco.cli.render import Table, counted
from arco.cli.session import client_of, moment
from arco.cli.terminal import Terminal
from arco.clients.catalog import listed

_COLUMNS: Final = ("when (UTC)", "action", "who", "what", "on", "why", "times")


def audit(args: Namespace, terminal: Terminal) -> int:
    """Show the newest events, those asked for."""
    times = {"since": as_of_text(args.since), "until": as_of_text(args.until)}
    wanted = {"actor": args.actor, "action": args.action and args.action.upper(), **times}
    query = {name: value for name, value in wanted.items() if value}
    with client_of(args) as client, terminal.step("reading the audit log"):
        events = listed(client, "/audit", "events", args.limit, query=query)
    if terminal.as_json:
        terminal.document({"events": events})
        return OK
    rows = [
        [
            moment(event["occurred_at"]),
            event["action"],
            event["actor"],
            event.get("operation"),
            event.get("object_name") or event["resource"],
            event["decision_reason"],
            event.get("count", 1),
        ]
        for event in events
    ]
    more = "; more with --limit" if len(events) == args.limit else ""
    terminal.table(Table(_COLUMNS, rows, frozenset({"times"})), counted(len(events), "event") + more)
    return OK
