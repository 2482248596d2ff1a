"""`/transactions/*Orchestration*`: events of runs that become facts together (orchestration.md 5.6).

In protobuf as the contract numbers them, or in JSON, where an event is the contract's envelope.
"""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from arco.core import paths
from arco.domains.orchestration.batches.envelopes import Batch, batch_of
from arco.domains.orchestration.batches.rights import NotAllowed, Speaker
from arco.domains.transactions import queries
from arco.domains.transactions.batch_commands import commit_batch
from arco.domains.transactions.commands import Clerk
from arco.domains.transactions.rows import TransactionRow
from arco.edge.context import context_of, flow_desk_of, flow_of, services_of
from arco.edge.refusals import Forbidden
from arco.kernel.chain import ORCHESTRATION_CHAIN
from arco.routes.public.transactions import STATUSES, endpoint, fill_times, row_of_transaction, transaction_key
from arco.routes.wire.controlplane import message_class
from arco.routes.wire.messages import decode_batch, decode_message, reply_message

_REQUEST: Final = "CommitOrchestrationBatchRequest"


async def commit_orchestration_batch(request: Request) -> Response:
    """All events are facts at the receipt's manifest, or none of them ever. Events are folded in their order.

    The same key and request again give the same receipt; a refused batch leaves its key free. Who may work in the
    workspace may commit what the api emits for people; what workers and roles emit is for operators (403).
    """
    key = transaction_key(request)
    batch = checked_batch(request, await decode_batch(request, _REQUEST))
    row = await commit_batch(flow_transaction_clerk(request), batch, key)
    answer = message_class("CommitOrchestrationBatchResponse")(repair_pending=False)
    answer.receipt.CopyFrom(await _receipt(request, row))
    return reply_message(request, answer)


async def get_orchestration_transaction(request: Request) -> Response:
    """Where a batch stands, or this chain's part of a root transaction. One that was never recorded is 404."""
    message = await decode_message(request, "GetOrchestrationTransactionRequest")
    reader = flow_of(request).reader_for(context_of(request).scope)
    row = await row_of_transaction(reader, message.tx_id, "orchestration")
    answer = message_class("OrchestrationTxStatus")(
        tx_id=row.handle_id, status=STATUSES[row.lifecycle], request_hash=row.request_hash
    )
    fill_times(answer, row)
    if row.manifest_id is not None:
        answer.result.CopyFrom(await _receipt(request, row))
    return reply_message(request, answer)


def checked_batch(request: Request, envelopes: Sequence[Any], place: str = "events") -> Batch:
    """The batch the caller may commit. Raises `InvalidInput`, `Forbidden`; both name the index and the field."""
    context, services = context_of(request), services_of(request)
    speaker = Speaker(
        tenant=context.scope.tenant,
        workspace=context.scope.workspace,
        principal=context.principal,
        operator=services.operator_group is not None and services.operator_group in context.groups,
        now_ms=services.clock.now_ms(),
    )
    try:
        return batch_of(envelopes, speaker, place)
    except NotAllowed as refusal:
        raise Forbidden(refusal.message, **refusal.details) from None


def flow_transaction_clerk(request: Request) -> Clerk:
    """Who carries out transactions of the runs' chain."""
    context, services = context_of(request), services_of(request)
    return Clerk(
        desk=flow_desk_of(request),
        reader=flow_of(request).reader_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        scope=context.scope,
        source=context.actor,
    )


async def _receipt(request: Request, row: TransactionRow) -> Any:
    done = queries.visibility(row, ORCHESTRATION_CHAIN.name)
    assert done is not None
    store = services_of(request).store_for(context_of(request).scope)
    # The storage version of the manifest object; empty once the manifest was collected.
    held = await store.head(paths.manifest(done.chain, int(done.manifest_id)))
    receipt = message_class("OrchestrationTxReceipt")(
        tx_id=done.tx_id,
        commit_id=done.commit_id,
        manifest_id=done.manifest_id,
        revision_ulid=done.commit_id,
        pointer_version="" if held is None else held.version,
        events_processed=row.visible_mutation_count,
        read_token=f"orchestration:{done.manifest_id}",
    )
    receipt.visible_at.FromMilliseconds(done.visible_at)
    return receipt


routes = [
    endpoint(
        "commitOrchestrationBatch",
        commit_orchestration_batch,
        (_REQUEST, "CommitOrchestrationBatchResponse"),
        summary="Commit a batch of orchestration events",
        errors=(400, 403, 404, 409),
    ),
    endpoint(
        "getOrchestrationTransaction",
        get_orchestration_transaction,
        ("GetOrchestrationTransactionRequest", "OrchestrationTxStatus"),
        summary="Show an orchestration transaction",
        errors=(400, 404),
    ),
]
