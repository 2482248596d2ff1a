"""`/workspaces/{workspace}/runs/{run_id}/tasks/{task_key}`: one task, and the account of it. (Ours.)"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from arco.domains.orchestration.queries.account import account_of
from arco.edge.codec import reply
from arco.edge.endpoint import Endpoint
from arco.routes.public.flow_clerks import PARAMETERS, PATH, READ_ERRORS, READ_HEADERS, head_of
from arco.routes.public.run_task_views import TaskAccountView, task_account


async def show(request: Request) -> Response:
    """A task, and why it is as it is: in the plan, waiting, skipped, tried again."""
    params = request.path_params
    found = await account_of(await head_of(request), params["run_id"], params["task_key"])
    return reply(task_account(found))


routes: Final = [
    Endpoint(
        method="GET",
        path=f"{PATH}/runs/{{run_id}}/tasks/{{task_key}}",
        handler=show,
        summary="Show a task, and why it is as it is",
        tag="orchestration",
        responses={200: TaskAccountView},
        errors=READ_ERRORS,
        headers=READ_HEADERS,
        parameters=PARAMETERS,
    )
]
