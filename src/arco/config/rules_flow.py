"""Rules between variables of the flow roles (operations.md 1.2)."""

from typing import Final

from arco.config.gather import Draft
from arco.config.kinds import url_parts
from arco.config.rules import check_https
from arco.config.rules_internal import check_internal
from arco.config.table_dispatch import CLOUD_TASKS, LOCAL_FILE, MEMORY
from arco.config.urls import is_forbidden_target
from arco.config.variables import DEV

TOKEN_MARGIN_S: Final = 300
"""A task token outlives its task by this much: the last callback still has to get through."""

_TIMERS: Final = "ARCO_FLOW_TIMER_TARGET_URL"


def check_flow(draft: Draft) -> None:
    """Rules of the dispatcher and the sweeper."""
    timeout, ttl = draft["ARCO_FLOW_TASK_TIMEOUT_SECS"], draft["ARCO_FLOW_TASK_TOKEN_TTL_SECS"]
    if timeout and ttl and ttl < timeout + TOKEN_MARGIN_S:
        need = timeout + TOKEN_MARGIN_S
        draft.refuse(
            "ARCO_FLOW_TASK_TOKEN_TTL_SECS",
            f"must be >= ARCO_FLOW_TASK_TIMEOUT_SECS + {TOKEN_MARGIN_S} (got {ttl}, need {need})",
            "E-RANGE",
        )
    _check_queue(draft)
    for name in ("ARCO_FLOW_DISPATCH_TARGET_URL", "ARCO_FLOW_CALLBACK_BASE_URL", "ARCO_FLOW_COMPACTOR_URL", _TIMERS):
        check_https(draft, name, draft[name])
        _check_target(draft, name, draft[name])
    _check_timers(draft)
    for bases in (draft["ARCO_FLOW_WORKERS"] or {}).values():
        for base in bases:
            check_https(draft, "ARCO_FLOW_WORKERS", base)
            _check_target(draft, "ARCO_FLOW_WORKERS", base)
    if draft["ARCO_FLOW_CALLBACK_BASE_URL"] and url_parts(draft["ARCO_FLOW_CALLBACK_BASE_URL"])[2] != "/":
        draft.refuse("ARCO_FLOW_CALLBACK_BASE_URL", "must have no path")
    check_internal(draft)


def _check_queue(draft: Draft) -> None:
    adapter = draft["ARCO_FLOW_QUEUE_ADAPTER"]
    dev = draft["ARCO_ENVIRONMENT"] == DEV
    if adapter == CLOUD_TASKS:
        for name in ("ARCO_GCP_PROJECT_ID", "ARCO_GCP_LOCATION"):
            if not draft[name]:
                draft.refuse(name, "required when ARCO_FLOW_QUEUE_ADAPTER is cloud_tasks", "E-REQUIRED")
    elif adapter in (LOCAL_FILE, MEMORY) and not dev:
        draft.refuse("ARCO_FLOW_QUEUE_ADAPTER", f"{adapter} is only allowed in dev")
    if draft["ARCO_FLOW_CLOUD_TASKS_ENDPOINT"] and not dev:
        draft.refuse("ARCO_FLOW_CLOUD_TASKS_ENDPOINT", "is only allowed in dev")


def _check_timers(draft: Draft) -> None:
    if draft["ARCO_FLOW_TIMER_TARGET_AUDIENCE"] and not draft[_TIMERS]:
        draft.refuse(_TIMERS, "required when ARCO_FLOW_TIMER_TARGET_AUDIENCE is set", "E-REQUIRED")


def _check_target(draft: Draft, name: str, value: str | None) -> None:
    """Nothing is ever sent to a metadata server or a link-local address."""
    if value and is_forbidden_target(value):
        draft.refuse(name, "must not be a metadata or link-local address")
