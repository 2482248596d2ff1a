"""From an environment to the settings of a worker, or to every problem at once. Pure (orchestration.md 7.6)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from arco.config.gather import Draft, ReadFile, check_names, gather
from arco.config.kinds import url_parts
from arco.config.problems import Problems
from arco.config.table_shared import SHARED
from arco.config.table_worker import WORKER_VARIABLES
from arco.config.urls import is_forbidden_target, is_loopback
from arco.config.variables import WORKER


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The checked configuration of a worker. Secrets are `dispatch_secrets`, `api_key` and `task_token`."""

    api_url: str
    api_key: str | None
    task_token: str | None
    dispatch_secrets: tuple[str, ...]
    tenant: str
    workspace: str
    user: str
    debug: bool
    log_level: str
    log_format: str
    targets: tuple[str, ...]
    catalog: str
    host: str
    port: int
    worker_id: str | None
    slots: int
    child_tasks: int
    child_growth_mb: int
    task_memory_mb: int | None
    grace_s: int
    drain_s: int
    report_s: int
    warnings: tuple[str, ...]

    def __repr__(self) -> str:
        return f"WorkerSettings(api_url={self.api_url!r})"  # a secret must not end up in a log by accident


SECRET_NAMES = frozenset(variable.name for variable in WORKER_VARIABLES if variable.secret)
"""What user code does not get to see of a worker's environment."""


def load_worker(environ: Mapping[str, str], read_file: ReadFile | None = None) -> WorkerSettings | Problems:
    """The settings of a worker, or everything that is wrong with them."""
    draft = Draft(WORKER)
    gather(draft, (*WORKER_VARIABLES, *(one for one in SHARED if one.name == "PORT")), environ, read_file)
    if draft["ARCO_FLOW_TENANT_ID"] is None and not draft.fails("ARCO_FLOW_TENANT_ID"):
        draft.refuse("ARCO_FLOW_TENANT_ID", "required", "E-REQUIRED")
    if draft["ARCO_FLOW_API_URL"] and is_forbidden_target(draft["ARCO_FLOW_API_URL"]):
        draft.refuse("ARCO_FLOW_API_URL", "must not be a metadata or link-local address")
    check_names(draft, environ, strict=False)
    _warn(draft)
    if draft.problems:
        return Problems(WORKER, tuple(sorted(set(draft.problems))))
    return _settings(draft)


def _warn(draft: Draft) -> None:
    if not draft["ARCO_FLOW_WORKER_DISPATCH_SECRET"]:
        draft.warnings.append("ARCO_FLOW_WORKER_DISPATCH_SECRET: not set, so every dispatch is refused")
    api = draft["ARCO_FLOW_API_URL"]
    if api:
        scheme, host, _ = url_parts(api)
        if scheme == "http" and "." in host and not is_loopback(host):
            draft.warnings.append("ARCO_FLOW_API_URL: http, so whoever is on the way can read task tokens")


def _settings(draft: Draft) -> WorkerSettings:
    def flow(name: str) -> Any:
        return draft[f"ARCO_FLOW_{name}"]

    secrets = (flow("WORKER_DISPATCH_SECRET"), flow("WORKER_DISPATCH_SECRET_PREVIOUS"))
    return WorkerSettings(
        api_url=flow("API_URL"),
        api_key=flow("API_KEY"),
        task_token=flow("TASK_TOKEN"),
        dispatch_secrets=tuple(secret for secret in secrets if secret),
        tenant=flow("TENANT_ID"),
        workspace=flow("WORKSPACE_ID"),
        user=flow("USER_ID"),
        debug=flow("DEBUG"),
        log_level=flow("LOG_LEVEL"),
        log_format=flow("LOG_FORMAT"),
        targets=flow("WORKER_TARGETS") or (),
        catalog=flow("WORKER_CATALOG") or "",
        host=flow("WORKER_HOST"),
        port=draft["PORT"] if draft["PORT"] is not None else flow("WORKER_PORT"),
        worker_id=flow("WORKER_ID"),
        slots=flow("WORKER_SLOTS"),
        child_tasks=flow("WORKER_CHILD_TASKS"),
        child_growth_mb=flow("WORKER_CHILD_GROWTH_MB"),
        task_memory_mb=flow("WORKER_TASK_MEMORY_MB"),
        grace_s=flow("WORKER_GRACE_SECS"),
        drain_s=flow("WORKER_DRAIN_SECS"),
        report_s=flow("WORKER_REPORT_SECS"),
        warnings=tuple(draft.warnings),
    )
