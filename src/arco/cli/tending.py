"""`arco gc | reconcile | repair | retention`: thin; says what was found, and what to do next."""

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import msgspec

from arco.cli.failures import OK, PROBLEM, USAGE, CommandProblem, Failure
from arco.cli.locations import storage_url
from arco.cli.render import counted, table_of
from arco.cli.terminal import Terminal
from arco.core.errors import ArcoError
from arco.core.retention import InvalidPolicy, parse_policy
from arco.core.scope import Scope
from arco.roles import tending as role
from arco.storage.port import StorageUnavailable

_SHOWN = 20


def gc(args: Namespace, terminal: Terminal) -> int:
    """Collect what is due, or say what would go."""
    place = _place(args)
    with terminal.step("collecting" if args.apply else "looking for what is due"), _told():
        done = role.collect(place, apply=args.apply, walk=args.walk)
    if terminal.as_json:
        terminal.document(msgspec.to_builtins(done))
        return OK
    chain, ledger = done.chain, done.ledger
    removals = [*chain.removals, *ledger.removals, *done.litter]
    for removal in removals[:_SHOWN]:
        terminal.say(f"  {removal.key}  ({removal.reason})")
    more = len(removals) - _SHOWN
    if more > 0:
        terminal.say(f"  and {counted(more, 'more object')}")
    if args.apply:
        terminal.say(
            f"removed {counted(done.objects, 'object')} ({done.bytes:,} bytes), "
            f"{counted(chain.manifests, 'old version')}; {counted(chain.kept, 'version')} kept as copies"
        )
        terminal.note("next: arco verify")
    else:
        terminal.say(
            f"{counted(chain.due, 'version')} due, {counted(ledger.ledger_objects, 'object of the ledger')} due"
        )
        terminal.note("nothing was deleted; next: arco gc --apply, or ARCO_REPAIR_MODE=enforce on the compactor")
    for issue in chain.issues:
        terminal.say(f"  ! {issue}")
    return OK


def reconcile(args: Namespace, terminal: Terminal) -> int:
    """Compare a workspace with what is stored."""
    place = _place(args)
    with terminal.step("comparing"), _told():
        report = role.reconcile(place, scope=args.scope, deep=args.deep)
    return _show(terminal, report, ())


def repair(args: Namespace, terminal: Terminal) -> int:
    """Repair what can be repaired."""
    place = _place(args)
    if not args.apply:
        with terminal.step("comparing"), _told():
            report = role.reconcile(place, scope="full", deep=True)
        return _show(terminal, report, ())
    with terminal.step("repairing"), _told():
        report, actions = role.repair(place, deep=True, alone=args.alone)
    return _show(terminal, report, actions)


def pin(args: Namespace, terminal: Terminal) -> int:
    """Pin a version."""
    place = _place(args)
    ttl_ms = None if args.ttl_hours is None else args.ttl_hours * 3_600_000
    with _told():
        made = role.pin(place, args.manifest, ttl_ms=ttl_ms, reason=args.reason)
    if terminal.as_json:
        terminal.document(msgspec.to_builtins(made))
    else:
        terminal.say(f"version {made.number} is pinned as {made.pin_id}")
        terminal.note(
            f"next: arco query ... --as-of {made.number}; release it with: arco retention unpin {made.pin_id}"
        )
    return OK


def unpin(args: Namespace, terminal: Terminal) -> int:
    """Release a pin."""
    place = _place(args)
    with _told():
        released = role.unpin(place, args.pin_id)
    if terminal.as_json:
        terminal.document(msgspec.to_builtins(released))
    else:
        terminal.say(f"version {released.number} is no longer pinned; a later collection may remove it")
    return OK


def pins(args: Namespace, terminal: Terminal) -> int:
    """List the pins that hold."""
    place = _place(args)
    with _told():
        found = role.pins(place)
    rows = [msgspec.to_builtins(one) for one in found]
    if terminal.as_json:
        terminal.document(rows)
    elif rows:
        terminal.table(table_of(rows, [("pin", "pin_id"), ("version", "number"), ("reason", "reason")]))
    else:
        terminal.say("no pins")
        terminal.note("next: arco retention pin")
    return OK


def _show(terminal: Terminal, report: Any, actions: Any) -> int:
    failed = [action for action in actions if not action.done]
    if terminal.as_json:
        terminal.document({"report": msgspec.to_builtins(report), "actions": msgspec.to_builtins(list(actions))})
        return PROBLEM if failed or (report.issues and not actions) else OK
    for issue in report.issues[:_SHOWN]:
        terminal.say(f"  {issue.severity}: {issue.path}: {issue.description}")
    for action in actions:
        terminal.say(f"  {'done' if action.done else 'NOT DONE'}: {action.path}: {action.description}")
    if not report.issues:
        terminal.say(f"nothing is wrong: {counted(report.manifest_snapshot_count, 'version')} whole")
        return OK
    terminal.say(counted(len(report.issues), "issue"))
    if failed:
        terminal.note("next: stop the servers and run: arco repair --apply --alone; or restore from a backup")
    else:
        terminal.note("next: arco verify" if actions else "next: arco repair --apply")
    return OK if actions and not failed else PROBLEM


def _place(args: Namespace) -> role.Place:
    try:
        policy = parse_policy(args.policy or os.environ.get("ARCO_RETENTION_POLICY", "").strip() or "default")
    except InvalidPolicy as bad:
        raise Failure(USAGE, f"--policy {bad.message}", "name a preset", code="USAGE") from bad
    tenant = args.tenant or _chosen("ARCO_TENANT", "ARCO_TENANT_ID") or "local"
    workspace = args.workspace or _chosen("ARCO_WORKSPACE", "ARCO_WORKSPACE_ID") or "default"
    return role.Place(storage_url(args.storage, os.environ), Scope(tenant, workspace), policy)


def _chosen(*variables: str) -> str | None:
    return next((os.environ[name].strip() for name in variables if os.environ.get(name, "").strip()), None)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Failures of the kernel as problems of the command."""
    try:
        yield
    except ArcoError as error:
        raise CommandProblem(error.message, "look with: arco reconcile") from error
    except StorageUnavailable as error:
        raise CommandProblem(str(error), "check the storage with: arco doctor") from error
