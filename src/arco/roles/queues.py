"""The queue of dispatches and the task tokens, as configured: what dispatcher, sweeper and api share.

With all roles in one process nothing has to be set: secrets are derived from what the process has, and they are as good
as its loopback address. Roles of their own are always given theirs.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from arco.clients.credentials import Credentials
from arco.config.settings import AUTH_DEBUG, AUTH_DEVELOPMENT, AUTH_HS256, Settings
from arco.config.table_dispatch import CLOUD_TASKS, MEMORY
from arco.config.variables import ALL, API
from arco.dispatch.cloud_tasks import CloudTasksQueue, CloudTasksSettings
from arco.dispatch.envelope import SECRET_HEADER
from arco.dispatch.memory import MemoryQueue
from arco.dispatch.port import DispatchQueue, Refused, Routes, timer_url
from arco.dispatch.push import PushLimits, PushQueue, PushSettings
from arco.dispatch.tokens import TaskTokens, TokenSettings
from arco.domains.orchestration.keys import DEFAULT_QUEUE
from arco.roles.process import Process, derived_secret

LOCAL_ISSUER: Final = "arco"
LOCAL_AUDIENCE: Final = "arco-tasks"
LOCAL_TTL_S: Final = 3_600


def task_tokens(settings: Settings, process: Process) -> TaskTokens:
    """Mints and reads task tokens, with the secret of the role: the api's and the flow roles' variables differ."""
    prefix = "ARCO_TASK_TOKEN" if settings.role in (API, ALL) else "ARCO_FLOW_TASK_TOKEN"
    found = TokenSettings(
        secret=settings.value(f"{prefix}_SECRET") or _derived(settings, process, "arco-task-tokens"),
        issuer=settings.value(f"{prefix}_ISSUER") or LOCAL_ISSUER,
        audience=settings.value(f"{prefix}_AUDIENCE") or LOCAL_AUDIENCE,
        previous_secret=settings.value("ARCO_TASK_TOKEN_SECRET_PREVIOUS"),
        previous_until_ms=settings.value("ARCO_TASK_TOKEN_SECRET_PREVIOUS_NOT_AFTER"),
    )
    return TaskTokens(found, process.clock)


def token_ttl_s(settings: Settings) -> int:
    """How long a task token is good, in seconds."""
    prefix = "ARCO_TASK_TOKEN" if settings.role in (API, ALL) else "ARCO_FLOW_TASK_TOKEN"
    return int(settings.value(f"{prefix}_TTL_SECS") or LOCAL_TTL_S)


def dispatch_secret(settings: Settings, process: Process) -> str:
    """What workers recognise dispatches by."""
    return settings.value("ARCO_FLOW_WORKER_DISPATCH_SECRET") or _derived(settings, process, "arco-dispatch")


def dispatch_queue(
    settings: Settings,
    process: Process,
    *,
    timer_base: str | None = None,
    timer_credentials: Credentials | None = None,
) -> DispatchQueue:
    """The queue that is configured. `timer_base` is where timers are taken when no variable says so."""
    adapter = settings.value("ARCO_FLOW_QUEUE_ADAPTER")
    base = settings.value("ARCO_FLOW_TIMER_TARGET_URL") or timer_base
    timers = timer_url(base) if base else None
    if adapter == MEMORY:
        return MemoryQueue(process.clock, takes_timers=timers is not None)
    if adapter == CLOUD_TASKS:
        return CloudTasksQueue(_cloud_tasks(settings, process, timers))
    secret = dispatch_secret(settings, process)

    async def headers() -> Mapping[str, str]:
        return {SECRET_HEADER: secret}

    push = PushSettings(
        routes=_routes(settings),
        dispatch_headers=headers,
        timer_target=timers,
        timer_headers=None if timer_credentials is None else timer_credentials.headers,
        limits=PushLimits(room=settings.value("ARCO_FLOW_PUSH_PER_WORKER")),
    )
    return PushQueue(push, clock=process.clock, entropy=process.entropy, log=process.log)


async def apply_retry_config(settings: Settings, process: Process, queue: DispatchQueue) -> None:
    """Give a Cloud Tasks queue our retry settings where that is asked for; a refusal is reported, and no more."""
    if not (settings.value("ARCO_FLOW_APPLY_QUEUE_RETRY_CONFIG") and isinstance(queue, CloudTasksQueue)):
        return
    refused: Refused | None = await asyncio.shield(queue.apply_retry_config())
    if refused is not None:
        process.log.warning("queue_retry_config_refused", reason=refused.reason)


def _routes(settings: Settings) -> Routes:
    target = settings.value("ARCO_FLOW_DISPATCH_TARGET_URL")
    named: dict[str, tuple[str, ...]] = dict(settings.value("ARCO_FLOW_WORKERS") or {})
    if target and DEFAULT_QUEUE not in named:
        named[DEFAULT_QUEUE] = (target,)
    return Routes(named)


def _cloud_tasks(settings: Settings, process: Process, timers: str | None) -> CloudTasksSettings:
    return CloudTasksSettings(
        project=settings.value("ARCO_GCP_PROJECT_ID"),
        location=settings.value("ARCO_GCP_LOCATION"),
        queue=settings.value("ARCO_FLOW_QUEUE"),
        routes=_routes(settings),
        dispatch_secret=dispatch_secret(settings, process),
        audience=settings.value("ARCO_FLOW_DISPATCH_TARGET_AUDIENCE"),
        service_account=settings.value("ARCO_FLOW_SERVICE_ACCOUNT_EMAIL"),
        timer_queue=settings.value("ARCO_FLOW_TIMER_QUEUE"),
        timer_target=timers,
        timer_audience=settings.value("ARCO_FLOW_TIMER_TARGET_AUDIENCE"),
        endpoint=settings.value("ARCO_FLOW_CLOUD_TASKS_ENDPOINT"),
    )


def _derived(settings: Settings, process: Process, label: str) -> str:
    """A secret nobody configured. Public keys are no secrets: without a shared one it lives as long as the process."""
    auth = settings.auth
    if auth.mode == AUTH_HS256:
        return derived_secret(label, auth.keys[0]).hex()
    # A developer's server that is started again still knows the workers of before.
    material = settings.storage if auth.mode in (AUTH_DEVELOPMENT, AUTH_DEBUG) else process.own_secret
    return derived_secret(label, material).hex()
