"""`/transactions/*`: changes that are one fact, over protobuf or its JSON mapping (catalog.md 4.11, 4.12).

JSON bodies, batches of operations and lineage edges are ours.
"""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from arco.core import paths
from arco.core.errors import InvalidInput, NotFound
from arco.core.ids import is_ulid
from arco.core.limits import TRANSACTION_BODY_BYTES_MAX
from arco.domains.transactions import commands, queries
from arco.domains.transactions.queries import Visibility
from arco.domains.transactions.rows import ABORTED, PREPARED, VISIBLE, TransactionRow
from arco.edge.context import context_of, desk_of, services_of
from arco.edge.endpoint import Endpoint, Handler
from arco.kernel.chain import CATALOG_CHAIN
from arco.kernel.reading import Reader
from arco.routes.wire.controlplane import message_class
from arco.routes.wire.messages import MEDIA, decode_message, message_type, reply_message
from arco.routes.wire.operations import operations_of

STATUSES: Final = {PREPARED: 1, VISIBLE: 2, ABORTED: 3}
_WRITE_ERRORS: Final = (400, 404, 409)


async def apply_catalog_ddl(request: Request) -> Response:
    """All of it is visible at the receipt's manifest, or none of it ever. The key may be any text that is not empty.

    The same key and request again give the same receipt; a refused transaction leaves its key free.
    """
    key = transaction_key(request)
    message = await decode_message(request, "ApplyCatalogDdlRequest")
    operations = operations_of(message.ddl)
    done = await commands.apply_catalog_ddl(transaction_clerk(request), operations, key)
    answer = message_class("ApplyCatalogDdlResponse")(repair_pending=False)
    answer.receipt.CopyFrom(await _receipt(request, done))
    return reply_message(request, answer)


async def get_catalog_transaction(request: Request) -> Response:
    """Where a transaction stands. A refused one is ABORTED; one that was never recorded is 404."""
    message = await decode_message(request, "GetCatalogTransactionRequest")
    row = await found_transaction(request, message.tx_id, "catalog")
    answer = message_class("CatalogTxStatus")(
        tx_id=row.handle_id, status=STATUSES[row.lifecycle], request_hash=row.request_hash
    )
    fill_times(answer, row)
    done = queries.visibility(row)
    if done is not None:
        answer.result.CopyFrom(await _receipt(request, done))
    return reply_message(request, answer)


def transaction_key(request: Request) -> str:
    """The `Idempotency-Key` of a transaction: any text. Raises `InvalidInput` when it is missing."""
    key: str = request.headers.get("idempotency-key", "").strip()
    commands.key_hash_of(key)
    return key


def transaction_clerk(request: Request) -> commands.Clerk:
    """Who carries out the transactions of this request."""
    services = services_of(request)
    context = context_of(request)
    return commands.Clerk(
        desk=desk_of(request),
        reader=services.reader_for(context.scope),
        clock=services.clock,
        ids=services.ids,
        scope=context.scope,
        source=context.actor,
    )


async def found_transaction(request: Request, tx_id: str, domain: str) -> TransactionRow:
    """The transaction a request asks about. Raises `InvalidInput`, `NotFound`."""
    return await row_of_transaction(services_of(request).reader_for(context_of(request).scope), tx_id, domain)


async def row_of_transaction(reader: Reader, tx_id: str, domain: str) -> TransactionRow:
    """The transaction of a chain. Raises `InvalidInput`, `NotFound`."""
    if not tx_id:
        raise InvalidInput("tx_id is required")
    snapshot = await reader.head()
    row = await queries.transaction(snapshot, tx_id) if is_ulid(tx_id) else None
    if row is None:
        raise NotFound(f"{domain} transaction not found: {tx_id[:100]}")
    return row


def fill_times(answer: Any, row: TransactionRow) -> None:
    """Set `prepared_at` and `visible_at` of a status message."""
    answer.prepared_at.FromMilliseconds(row.prepared_at or row.created_at)
    if row.visible_at is not None:
        answer.visible_at.FromMilliseconds(row.visible_at)


async def _receipt(request: Request, done: Visibility) -> Any:
    store = services_of(request).store_for(context_of(request).scope)
    # The storage version of the manifest object; empty once the manifest was collected.
    held = await store.head(paths.manifest(CATALOG_CHAIN.name, int(done.manifest_id)))
    receipt = message_class("CatalogTxReceipt")(
        tx_id=done.tx_id,
        event_id=done.tx_id,
        commit_id=done.commit_id,
        manifest_id=done.manifest_id,
        snapshot_version=done.snapshot_version,
        pointer_version="" if held is None else held.version,
        read_token=f"catalog:{done.manifest_id}",
    )
    receipt.visible_at.FromMilliseconds(done.visible_at)
    return receipt


def endpoint(
    name: str, handler: Handler, messages: tuple[str, str], *, summary: str, errors: tuple[int, ...]
) -> Endpoint:
    """A transaction route: `messages` are the names of what it reads and what it answers."""
    wanted, answered = messages
    return Endpoint(
        method="POST",
        path=f"/transactions/{name}",
        handler=handler,
        summary=summary,
        tag="transactions",
        request=message_type(wanted),
        request_media=MEDIA,
        responses={200: message_type(answered)},
        media=MEDIA,
        errors=errors,
        headers=("Idempotency-Key",) if name.startswith(("apply", "commit")) else (),
        body_bytes_max=TRANSACTION_BODY_BYTES_MAX,
    )


routes = [
    endpoint(
        "applyCatalogDdl",
        apply_catalog_ddl,
        ("ApplyCatalogDdlRequest", "ApplyCatalogDdlResponse"),
        summary="Change the catalog in one transaction",
        errors=_WRITE_ERRORS,
    ),
    endpoint(
        "getCatalogTransaction",
        get_catalog_transaction,
        ("GetCatalogTransactionRequest", "CatalogTxStatus"),
        summary="Show a catalog transaction",
        errors=(400, 404),
    ),
]
