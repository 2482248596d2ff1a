"""Handing attempts to the queue: envelope, token, name; what the queue answers (orchestration.md 7.1, 8.1).

Every name follows from the attempt, so whoever hands it in again, after a crash or because an answer was lost, hands in
the same thing, and the queue and the worker know it.
"""

from typing import Final

import msgspec

from arco.core.clock import Clock
from arco.core.scope import Scope
from arco.dispatch.envelope import TIMEOUT_MEMBER, WorkerDispatchEnvelope, write_envelope
from arco.dispatch.port import DISPATCH, Answer, DispatchQueue, QueuedTask
from arco.dispatch.tokens import TTL_MARGIN_S, TTL_S_MAX, TaskClaims, TaskTokens
from arco.domains.orchestration import keys
from arco.domains.orchestration.keys import DEFAULT_QUEUE
from arco.domains.orchestration.rows import TaskRow

DEADLINE_S_MAX: Final = 1_800
"""The longest delivery that Cloud Tasks waits for; a task that takes longer is delivered again, and known."""

QUEUED_S: Final = 900
"""How long a token may lie in a queue before its task begins: after ten minutes the sweeper hands in another one."""


class SendRules(msgspec.Struct, frozen=True, kw_only=True):
    """What goes into every envelope. `ttl_s` is a token's time at least, `timeout_s` a task's that says nothing."""

    callback_base_url: str
    ttl_s: int
    timeout_s: int


class Sender:
    """Hands attempts of all workspaces to one queue."""

    def __init__(self, queue: DispatchQueue, tokens: TaskTokens, rules: SendRules, clock: Clock) -> None:
        self.queue = queue
        self._tokens = tokens
        self._rules = rules
        self._clock = clock

    async def send(self, scope: Scope, task: TaskRow, attempt: int, name: str | None = None) -> Answer:
        """Hand an attempt in, under the name that follows from it unless another one is given."""
        dispatch_id = keys.dispatch_id(task.run_id, task.task_key, attempt)
        timeout_s = task.timeout_sec or self._rules.timeout_s

        def body() -> bytes:
            return write_envelope(self._envelope(scope, task, attempt, dispatch_id))

        return await self.queue.enqueue(
            QueuedTask(
                name=name or keys.queue_task_id("d", dispatch_id),
                kind=DISPATCH,
                body=body(),
                renewed=body,
                worker_queue=task.worker_queue or DEFAULT_QUEUE,
                deadline_s=min(timeout_s, DEADLINE_S_MAX),
            )
        )

    def _envelope(self, scope: Scope, task: TaskRow, attempt: int, dispatch_id: str) -> WorkerDispatchEnvelope:
        task_id, attempt_id = keys.task_id(task.run_id, task.task_key), keys.attempt_id(dispatch_id)
        claims = TaskClaims(
            task_id=task_id,
            tenant_id=scope.tenant,
            workspace_id=scope.workspace,
            run_id=task.run_id,
            attempt=attempt,
            attempt_id=attempt_id,
        )
        timeout_s = task.timeout_sec or self._rules.timeout_s
        ttl_s = max(self._rules.ttl_s, timeout_s + QUEUED_S + TTL_MARGIN_S)
        minted = self._tokens.mint(claims, ttl_s=min(ttl_s, TTL_S_MAX))
        return WorkerDispatchEnvelope(
            tenant_id=scope.tenant,
            workspace_id=scope.workspace,
            task_id=task_id,
            task_key=task.task_key,
            run_id=task.run_id,
            attempt=attempt,
            attempt_id=attempt_id,
            dispatch_id=dispatch_id,
            partition_key=task.partition_key,
            heartbeat_timeout_sec=task.heartbeat_timeout_sec,
            worker_queue=task.worker_queue or DEFAULT_QUEUE,
            callback_base_url=self._rules.callback_base_url,
            task_token=minted.token,
            token_expires_at=minted.expires_at,
            payload={} if task.timeout_sec is None else {TIMEOUT_MEMBER: task.timeout_sec},
        )
