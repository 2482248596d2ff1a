"""`/workspaces/{workspace}/manifests`: deploying definitions, and reading what is deployed (orchestration.md 6.2)."""

from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from arco.core.errors import InvalidInput, NotFound
from arco.domains.orchestration.commands.deploy import Deployment, checked, deploy
from arco.domains.orchestration.definitions import stored
from arco.domains.orchestration.plan.manifest import Manifest
from arco.domains.orchestration.rows import DEPLOYMENTS, DeploymentRow
from arco.edge.codec import decode, reply
from arco.edge.context import context_of, services_of
from arco.edge.endpoint import Endpoint
from arco.routes.public.flow_clerks import (
    PARAMETERS,
    PATH,
    READ_ERRORS,
    READ_HEADERS,
    WRITE_ERRORS,
    clerk_of,
    head_of,
    key_of,
)
from arco.routes.public.flow_clerks import time_text as text

BODY_BYTES_MAX: Final = 10 * 1024 * 1024


class DeployedView(msgspec.Struct, frozen=True, rename="camel"):
    """A deployment as its caller is told of it."""

    manifest_id: str
    workspace_id: str
    code_version_id: str
    fingerprint: str
    asset_count: int
    deployed_at: str | None


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A deployment in a list."""

    manifest_id: str
    code_version_id: str
    fingerprint: str
    asset_count: int
    git_branch: str | None = None
    git_commit: str | None = None
    deployed_at: str | None
    deployed_by: str


class DeploymentsView(msgspec.Struct, frozen=True):
    """Deployments, newest first."""

    manifests: list[DeploymentView]


@lru_cache(maxsize=1)
def time_zones() -> frozenset[str]:
    """Every time zone this machine knows."""
    return frozenset(available_timezones())


async def create(request: Request) -> Response:
    """Make these definitions the ones that new runs are planned from.

    Everything that is wrong with them is said at once, in `details.problems`. With an `Idempotency-Key`, the same
    definitions again answer 200 with the first deployment, others 409. Schedules are created or brought up to date;
    what operators set of a schedule stays.
    """
    clerk, key = clerk_of(request), key_of(request)
    values = await decode(request, dict[str, Any])
    try:
        manifest = msgspec.convert(values, Manifest)
    except msgspec.ValidationError as error:
        raise InvalidInput(str(error)) from None
    checked(manifest, time_zones())
    found = await deploy(clerk, Deployment(manifest, values, key))
    row = found.row
    view = DeployedView(
        row.manifest_id,
        clerk.scope.workspace,
        row.code_version_id,
        row.fingerprint,
        row.asset_count,
        text(row.deployed_at),
    )
    return reply(view, 201 if found.created else 200)


async def index(request: Request) -> Response:
    """Every deployment of the workspace, newest first."""
    snapshot = await head_of(request)
    rows = [] if snapshot is None else await snapshot.scan(DEPLOYMENTS, descending=True)
    rows.sort(key=lambda row: row.deployed_at, reverse=True)
    return reply(DeploymentsView([_view(row) for row in rows]))


async def show(request: Request) -> Response:
    """A deployed manifest as it was sent, with who deployed it and when."""
    manifest_id = request.path_params["manifest_id"]
    snapshot = await head_of(request)
    row = None if snapshot is None else await snapshot.get(DEPLOYMENTS, (manifest_id,))
    if row is None:
        raise NotFound(f"manifest not found: {manifest_id}")
    return reply(await stored(row, services_of(request).store_for(context_of(request).scope)))


def _view(row: DeploymentRow) -> DeploymentView:
    return DeploymentView(
        manifest_id=row.manifest_id,
        code_version_id=row.code_version_id,
        fingerprint=row.fingerprint,
        asset_count=row.asset_count,
        git_branch=row.git_branch,
        git_commit=row.git_commit,
        deployed_at=text(row.deployed_at),
        deployed_by=row.deployed_by,
    )


routes: Final = [
    Endpoint(
        method="POST",
        path=f"{PATH}/manifests",
        handler=create,
        summary="Deploy definitions",
        tag="orchestration",
        request=Manifest,
        responses={200: DeployedView, 201: DeployedView},
        errors=(*WRITE_ERRORS, 413),
        headers=("Idempotency-Key",),
        parameters=PARAMETERS,
        body_bytes_max=BODY_BYTES_MAX,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/manifests",
        handler=index,
        summary="List deployments",
        tag="orchestration",
        responses={200: DeploymentsView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
    Endpoint(
        method="GET",
        path=f"{PATH}/manifests/{{manifest_id}}",
        handler=show,
        summary="Show a deployed manifest",
        tag="orchestration",
        responses={200: dict[str, Any]},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    ),
]
