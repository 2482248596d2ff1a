"""What a read token reads: exactly the manifests it names, and nothing newer (catalog.md 4.12, reliability R-23).

`catalog:{manifest}` is the receipt of a catalog transaction, `orchestration:{manifest}` that of a batch of events, and
`root:{tx}` that of a transaction across chains: its record pins the manifest of each member, and it is not readable
before the record does. A request carries a token in the header `X-Arco-Read-Token` (ours: the protocol issues tokens
and names no header); a route takes tokens of the chain it reads.
"""

import re
from typing import Final

from starlette.requests import Request

from arco.core.errors import Gone, InvalidInput, NotFound
from arco.core.ids import is_ulid
from arco.domains.transactions.root import read_record, readable
from arco.edge.context import context_of, flow_of, services_of
from arco.kernel.chain import CATALOG_CHAIN, ORCHESTRATION_CHAIN
from arco.kernel.reading import Reader, Snapshot

HEADER: Final = "x-arco-read-token"

_MANIFEST: Final = re.compile(r"[0-9]{20}\Z")
_CATALOG: Final = CATALOG_CHAIN.name
_RUNS: Final = ORCHESTRATION_CHAIN.name
_ROOT: Final = "root"
_PARTS: Final = {_CATALOG: "the catalog", _RUNS: "orchestration"}


async def snapshot_of_token(request: Request) -> Snapshot | None:
    """The snapshot of the catalog that a request's token pins, None when it carries none.

    Raises `InvalidInput`, `NotFound`, `Gone`.
    """
    scope = context_of(request).scope
    return await _pinned(request, services_of(request).reader_for(scope), _CATALOG)


async def runs_of_token(request: Request) -> Snapshot | None:
    """The snapshot of runs that a request's token pins, None when it carries none. Raises as `snapshot_of_token`."""
    return await _pinned(request, flow_of(request).reader_for(context_of(request).scope), _RUNS)


async def _pinned(request: Request, reader: Reader, chain: str) -> Snapshot | None:
    token = request.headers.get(HEADER, "").strip()
    if not token:
        return None
    kind, _, name = token.partition(":")
    services, scope = services_of(request), context_of(request).scope
    if kind == _ROOT and is_ulid(name):
        record = readable(await read_record(services.store_for(scope), name), name)
        member = record.domains.get(chain)
        if member is None:
            raise NotFound(f"root transaction {name} has no part in {_PARTS[chain]}")
        name = member.manifest_id
    elif kind != chain or not _MANIFEST.match(name):
        raise InvalidInput(f"X-Arco-Read-Token must be {chain}:{{manifest id}} or root:{{transaction id}}")
    snapshot = await reader.at_manifest(name)
    if snapshot is not None:
        return snapshot
    newest = await reader.head()
    if newest is not None and name <= newest.manifest_id:
        raise Gone(f"manifest {name} is not kept any more: its retention has ended; a pin keeps a version for longer")
    raise NotFound(f"manifest {name} was never made")
