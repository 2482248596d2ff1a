"""What workers send and are answered: bodies of the callbacks (orchestration.md 7.3, 7.4)."""

from typing import Annotated, Any, Literal

import msgspec

from arco.domains.orchestration.numbers import ATTEMPTS_MAX

_Attempt = Annotated[int, msgspec.Meta(ge=-(2**31), le=ATTEMPTS_MAX)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
_Message = Annotated[str, msgspec.Meta(max_length=16_384)]
_Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Camel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A body: camelCase, unknown fields ignored."""


class StartedRequest(_Camel, frozen=True, kw_only=True):
    """A worker has begun an attempt."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    started_at: str | None = None


class HeartbeatRequest(_Camel, frozen=True, kw_only=True):
    """A worker is still at it."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    heartbeat_at: str | None = None
    progress_pct: int | None = None
    message: Annotated[str, msgspec.Meta(max_length=2_048)] | None = None


class OutputRequest(_Camel, frozen=True, kw_only=True):
    """What an attempt made. From `inputs` on ours: what was read, which columns were handed on, checks, columns."""

    materialization_id: str | None = None
    row_count: _Size | None = None
    byte_size: _Size | None = None
    output_path: str | None = None
    delta_table: str | None = None
    delta_version: _Size | None = None
    delta_partition: str | None = None
    output_visibility_state: Literal["PENDING", "VISIBLE", "FAILED"] | None = None
    published_at: str | None = None
    publish_error: str | None = None
    inputs: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1_000)] = []
    column_lineage: Annotated[dict[str, list[str]], msgspec.Meta(max_length=10_000)] = {}
    checks: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=1_000)] = []
    schema: Any = None
    metadata: dict[str, Any] = {}


class ErrorRequest(_Camel, frozen=True, kw_only=True):
    """Why an attempt failed."""

    category: Literal["USER_CODE", "DATA_QUALITY", "INFRASTRUCTURE", "CONFIGURATION", "TIMEOUT", "CANCELLED"]
    message: _Message = ""
    stack_trace: str | None = None
    retryable: bool | None = None


class CompletedRequest(_Camel, frozen=True, kw_only=True):
    """An attempt is over. `result` is another name of `output`."""

    attempt: _Attempt
    attempt_id: _Text
    worker_id: _Text
    traceparent: str | None = None
    outcome: Literal["SUCCEEDED", "FAILED", "CANCELLED"]
    completed_at: str | None = None
    output: OutputRequest | None = None
    result: OutputRequest | None = None
    error: ErrorRequest | None = None
    metrics: dict[str, Any] | None = None
    cancelled_during_phase: str | None = None
    partial_progress: dict[str, Any] | None = None


class StartedView(_Camel, frozen=True, kw_only=True):
    """It is on record that the attempt runs."""

    acknowledged: bool = True
    server_time: str | None


class HeartbeatView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Whether the worker shall stop, and why."""

    acknowledged: bool
    should_cancel: bool
    cancel_reason: str | None = None
    server_time: str | None


class CompletedView(_Camel, frozen=True, kw_only=True):
    """It is on record how the attempt ended."""

    acknowledged: bool = True
    final_state: str
    server_time: str | None


class CallbackProblemView(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A refused callback: `error` is for workers, and what was expected instead of what came.

    A body that is not readable is refused without them, as everywhere.
    """

    code: str
    message: str
    error: str | None = None
    state: str | None = None
    expected_attempt: int | None = None
    received_attempt: int | None = None
    expected_attempt_id: str | None = None
    received_attempt_id: str | None = None
