"""`/transactions/*RootTransaction`: transactions across chains, and what their tokens read (catalog.md 4.11, 4.12)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from arco.core import paths
from arco.core.errors import InvalidInput
from arco.domains.transactions import queries, root_commands
from arco.domains.transactions.operations import Operation
from arco.domains.transactions.root import Completed, RootRecord
from arco.domains.transactions.root_commands import RUNS, Wanted
from arco.domains.transactions.rows import ABORTED, PREPARED, VISIBLE
from arco.edge.context import context_of, services_of
from arco.edge.refusals import NotImplementedHere
from arco.routes.public.batches import checked_batch, flow_transaction_clerk
from arco.routes.public.transactions import (
    STATUSES,
    endpoint,
    fill_times,
    found_transaction,
    transaction_clerk,
    transaction_key,
)
from arco.routes.wire.controlplane import message_class
from arco.routes.wire.messages import decode_message, decode_root, reply_message
from arco.routes.wire.operations import operations_of

_DOMAINS: Final = {"catalog": 1, "orchestration": 2}
_SCOPE_FIELDS: Final = ("tenant_id", "workspace_id", "request_id")


async def commit_root_transaction(request: Request) -> Response:
    """At most one mutation for each domain; the catalog's may be a batch, and orchestration's is one of events.

    Prepared in every chain, decided by one object, then made visible everywhere. `root:{tx_id}` reads it once all of
    it is, and never a part.
    """
    key = transaction_key(request)
    message, envelopes = await decode_root(request, "CommitRootTransactionRequest")
    done = await root_commands.commit_root(_clerks(request), _wanted(request, message, envelopes), key)
    answer = message_class("CommitRootTransactionResponse")(repair_pending=done.repair_pending)
    answer.receipt.CopyFrom(_receipt(done.record, _root_commit_id(done)))
    return reply_message(request, answer)


async def get_root_transaction(request: Request) -> Response:
    """Where a root transaction stands: VISIBLE once every member is, and the record says where."""
    message = await decode_message(request, "GetRootTransactionRequest")
    row = await found_transaction(request, message.tx_id, "root")
    carrying = root_commands.coordinator(_clerks(request))
    record = await carrying.record(row.handle_id) if row.lifecycle != ABORTED else None
    complete = record is not None and record.complete
    lifecycle = PREPARED if row.lifecycle == VISIBLE and not complete else row.lifecycle
    answer = message_class("RootTxStatus")(
        tx_id=row.handle_id,
        status=STATUSES[lifecycle],
        request_hash=row.request_hash,
        super_manifest_path=paths.root_transaction(row.handle_id),
        repair_pending=record is not None and not complete,
    )
    fill_times(answer, row)
    done = queries.visibility(row)
    if record is not None and complete and done is not None:
        answer.result.CopyFrom(_receipt(record, done.commit_id))
        for commit in answer.result.domain_commits:
            answer.domains.add(
                domain=commit.domain,
                tx_id=commit.tx_id,
                manifest_id=commit.manifest_id,
                manifest_path=commit.manifest_path,
            )
    return reply_message(request, answer)


def _wanted(request: Request, message: Any, envelopes: Mapping[int, Sequence[Any]]) -> Wanted:
    """What is asked of each chain. Raises `InvalidInput`, `Forbidden`, `NotImplementedHere` for what has no chain."""
    kinds = [mutation.WhichOneof("mutation") for mutation in message.mutations]
    if not kinds:
        raise InvalidInput("mutations must hold at least one mutation")
    for index, kind in enumerate(kinds):
        if kind is None:
            raise InvalidInput(f"mutations[{index}] must be one of catalog, orchestration")
        if kind in kinds[:index]:
            raise InvalidInput(f"mutations[{index}]: there may be one mutation for each domain, and {kind} has two")
    for index, mutation in enumerate(message.mutations):
        if kinds[index] == RUNS and not envelopes.get(index):
            raise InvalidInput(f"mutations[{index}].orchestration.events must hold at least one event")
        if kinds[index] == "scoped_metastore":
            _check_scope(request, mutation.scoped_metastore.scope, index)
    foreign = next((kind for kind in kinds if kind not in _DOMAINS), None)
    if foreign is not None:
        raise NotImplementedHere(f"this server takes no {foreign} mutations in root transactions")
    operations: Sequence[Operation] = ()
    batch, place = None, ""
    for index, kind in enumerate(kinds):
        if kind == RUNS:
            place = f"mutations[{index}].orchestration.events"
            batch = checked_batch(request, envelopes[index], place)
        else:
            operations = operations_of(message.mutations[index].catalog, f"mutations[{index}].catalog")
    return Wanted(order=tuple(kinds), operations=operations, batch=batch, place=place)


def _clerks(request: Request) -> root_commands.Clerks:
    store = services_of(request).store_for(context_of(request).scope)
    return root_commands.Clerks(home=transaction_clerk(request), runs=flow_transaction_clerk(request), store=store)


def _check_scope(request: Request, scope: Any, index: int) -> None:
    context = context_of(request)
    own = {
        "tenant_id": context.scope.tenant,
        "workspace_id": context.scope.workspace,
        "request_id": context.request_id,
    }
    for field in _SCOPE_FIELDS:
        given = getattr(scope, field)
        if given and given != own[field]:
            raise InvalidInput(f"mutations[{index}].scoped_metastore.scope.{field} is not the request's")


def _receipt(record: RootRecord, commit_id: str) -> Any:
    receipt = message_class("RootTxReceipt")(
        tx_id=record.tx_id,
        root_commit_id=commit_id,
        super_manifest_path=paths.root_transaction(record.tx_id),
        read_token=f"root:{record.tx_id}",
    )
    for domain, member in record.domains.items():
        receipt.domain_commits.add(
            domain=_DOMAINS[domain],
            tx_id=record.tx_id,
            commit_id=member.commit_id,
            manifest_id=member.manifest_id,
            manifest_path=member.manifest_path,
            read_token=f"{domain}:{member.manifest_id}",
        )
    receipt.visible_at.FromMilliseconds(record.visible_at)
    return receipt


def _root_commit_id(done: Completed) -> str:
    return done.members[root_commands.HOME].commit_id


routes = [
    endpoint(
        "commitRootTransaction",
        commit_root_transaction,
        ("CommitRootTransactionRequest", "CommitRootTransactionResponse"),
        summary="Commit a transaction across chains",
        errors=(400, 403, 404, 409, 501),
    ),
    endpoint(
        "getRootTransaction",
        get_root_transaction,
        ("GetRootTransactionRequest", "RootTxStatus"),
        summary="Show a transaction across chains",
        errors=(400, 404),
    ),
]
