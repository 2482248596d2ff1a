"""`arco deploy` and `arco plan`: from assets in code to definitions on the server, and what a run of them would do."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arco.cli.failures import OK, CommandProblem
from arco.cli.render import Table, counted
from arco.cli.runs import request_of, workspace_of
from arco.cli.session import client_of
from arco.cli.terminal import Terminal
from arco.clients.api import PREFIX, ApiClient, Call, path_of
from arco.sdk.errors import DefinitionError
from arco.sdk.loading import AssetSet, load_assets
from arco.sdk.manifest import build_manifest


def deploy(args: Namespace, terminal: Terminal) -> int:
    """Make the assets of these modules the ones that new runs are planned from."""
    with client_of(args) as client:
        told = deployed(client, args.target, workspace_of(args, client))
    if terminal.as_json:
        terminal.document(told)
        return OK
    assets = counted(told["assetCount"], "asset")
    terminal.say(f"deployed {assets} as {told['manifestId']} (code version {told['codeVersionId']})")
    terminal.note(f"next:  {told['next']}")
    return OK


def deployed(client: ApiClient, targets: Sequence[str], workspace: str) -> dict[str, Any]:
    """Build the manifest of these targets and deploy it.

    The api's answer, with the keys of the `assets` and a command to run `next`. Raises `CommandProblem` for what is
    wrong in the code.
    """
    try:
        assets = load_assets(targets)
        if not len(assets):
            raise CommandProblem(f"{', '.join(targets)} has no assets", "decorate a function with @asset")
        built = build_manifest(
            assets,
            Path.cwd(),
            tenant_id=client.target.tenant or "local",
            workspace_id=workspace,
            deployed_by=os.environ.get("USER", ""),
        )
    except DefinitionError as error:
        raise CommandProblem(str(error), "mend the code and deploy it again") from None
    call = Call(
        method="POST",
        path=f"{PREFIX}{path_of('workspaces', workspace, 'manifests')}",
        body=built.manifest,
        headers={"Idempotency-Key": built.fingerprint},
        repeatable=True,
    )
    told: dict[str, Any] = client.send(call).json()
    return told | {"assets": list(assets.assets), "next": worth_running(assets)}


def worth_running(assets: AssetSet) -> str:
    """A command that makes as many of these assets as one run can: all in it have the partition that it names."""
    above: dict[str, set[str]] = {}
    for one in assets.in_order():
        above[one.key] = set(one.upstreams).union(*(above[key] for key in one.upstreams))
    cuts = {one.key: {dimension.name for dimension in one.partitions} for one in assets}
    whole = [key for key in sorted(above) if all(cuts[other] <= cuts[key] for other in above[key])]
    chosen = assets[max(whole, key=lambda key: len(above[key]))]
    upstream = " --upstream" if above[chosen.key] else ""
    values = "".join(f" --partition {one.name}={one.example}" for one in chosen.partitions)
    return f"arco run {chosen.key}{upstream}{values}"


def plan(args: Namespace, terminal: Terminal) -> int:
    """Show what a run of these assets would consist of, and why; nothing is begun."""
    with client_of(args) as client:
        path = path_of("workspaces", workspace_of(args, client), "plans")
        told = client.ask(path, request_of(args)).json()
    if terminal.as_json:
        terminal.document(told)
        return OK
    rows = [[task["taskKey"], _why(task), ", ".join(task.get("dependsOn", ()))] for task in told["tasks"]]
    terminal.table(Table(["task", "in the plan because", "after"], rows), counted(len(rows), "task"))
    if partition := told.get("partitionKey"):
        terminal.say(f"partition {partition}")
    terminal.say(f"fingerprint {told['fingerprint']}")
    return OK


def _why(task: dict[str, Any]) -> str:
    if task["why"] == "root":
        return "it was asked for"
    return f"it is {task['why']} of {task['of']}"
