"""What operators set for a workspace: how much at once, and whether anything new at all. Pure."""

from typing import Final

import msgspec

from arco.domains.orchestration.agenda import holds_slots
from arco.domains.orchestration.events import ConcurrencyLimitSet, DefinitionsDeployed, WorkspacePauseChanged
from arco.domains.orchestration.fold.board import WORKSPACE_SLOTS, Moment
from arco.domains.orchestration.rows import (
    DEPLOYMENTS,
    SLOTS,
    WORKSPACE,
    DeploymentRow,
    SlotsRow,
    TaskRow,
    WorkspaceRow,
)
from arco.kernel.fold import Accepted, Decision, InvalidEvent, Rejected, View

PAUSED: Final = "workspace_paused"
NO_SLOT: Final = "concurrency_limit"


def limit_set(view: View, event: ConcurrencyLimitSet, _moment: Moment) -> Decision:
    """How many attempts of a key there may be; what runs already goes on."""
    if event.slots is not None and event.slots < 0:
        raise InvalidEvent("ConcurrencyLimitSet: slots must not be negative")
    row = view.get(SLOTS, (event.concurrency_key,)) or SlotsRow(concurrency_key=event.concurrency_key)
    view.put(SLOTS, msgspec.structs.replace(row, slots=event.slots))
    return Accepted()


def pause_changed(view: View, event: WorkspacePauseChanged, moment: Moment) -> Decision:
    """Whether anything new is dispatched."""
    settings = msgspec.structs.replace(
        _settings(view, moment),
        paused=event.paused,
        paused_by=event.changed_by,
        pause_reason=event.reason,
        changed_at=moment.at_ms,
        row_version=moment.version,
    )
    view.put(WORKSPACE, settings)
    return Accepted()


def deployed(view: View, event: DefinitionsDeployed, moment: Moment) -> Decision:
    """New runs are planned from this manifest: the one that was folded last."""
    if view.get(DEPLOYMENTS, (event.manifest_id,)) is not None:
        return Accepted()
    view.put(
        DEPLOYMENTS,
        DeploymentRow(
            manifest_id=event.manifest_id,
            code_version_id=event.code_version_id,
            fingerprint=event.fingerprint,
            asset_count=event.asset_count,
            path=event.path,
            sha256=event.sha256,
            size_bytes=event.size_bytes,
            git_branch=event.git_branch,
            git_commit=event.git_commit,
            deployed_at=moment.at_ms,
            deployed_by=event.deployed_by,
            row_version=moment.version,
        ),
    )
    settings = msgspec.structs.replace(
        _settings(view, moment), manifest_id=event.manifest_id, row_version=moment.version
    )
    view.put(WORKSPACE, settings)
    return Accepted(details={"manifest_id": event.manifest_id})


def _settings(view: View, moment: Moment) -> WorkspaceRow:
    return view.get(WORKSPACE, ("",)) or WorkspaceRow(row_version=moment.version)


def bar_to_dispatch(view: View, task: TaskRow) -> Rejected | None:
    """Why a task may not be sent just now, if so: it keeps its place and is sent later."""
    settings = view.get(WORKSPACE, ("",))
    if settings is not None and settings.paused:
        return Rejected(PAUSED, "the workspace is paused: nothing new is dispatched until it is resumed", final=False)
    if holds_slots(task):
        return None
    for key in (WORKSPACE_SLOTS, task.concurrency_key):
        row = None if key is None else view.get(SLOTS, (key,))
        if row is not None and row.slots is not None and row.in_use >= row.slots:
            what = "the workspace" if key == WORKSPACE_SLOTS else f"concurrency key {key}"
            return Rejected(
                NO_SLOT, f"{what} has {row.slots} slots, all in use", {"concurrency_key": key or ""}, final=False
            )
    return None
