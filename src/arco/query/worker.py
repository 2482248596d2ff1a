"""The sandbox child: answers one request after another on its socket, until the socket ends or it is killed.

Everything a stranger controls happens here and nowhere else: parsing and planning of SQL, reading of data files and of
Delta logs, execution, and the encoding of rows. What it may do is in `query.confine`; what it may see is what comes
over the socket, for one scope in its whole life.
"""

import mmap
import os
import socket
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

from arco.core.errors import ArcoError
from arco.query import wire
from arco.query.confine import Allowance, confine
from arco.query.errors import EXHAUSTED_CODE, FACTS, QueryExhausted
from arco.query.wire import BlockRelation, DeltaRelation, Discover, ParquetRelation, ReadLog, Run, Slice

if TYPE_CHECKING:
    import pyarrow as pa
    from datafusion.catalog import Table

    from arco.query.holdings import Holdings

_DISCOVERY_BYTES: Final = 128 * 1024 * 1024
_DISCOVERY_S: Final = 10.0


_PRELOADED: Final = (
    *("datafusion", "datafusion.catalog", "deltalake", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet"),
    *("arco.query.delta_log", "arco.query.discovery", "arco.query.encoding", "arco.query.files_seen"),
    *("arco.query.holdings", "arco.query.session"),
    *("encodings.idna", "decimal", "datetime", "zoneinfo", "_strptime", "traceback"),
)
"""All that a query may need: a child opens no files, so it can import nothing any more."""


def preload() -> None:
    """Load what queries need without starting the engine: for the process that children are forked from."""
    for name in _PRELOADED:
        import_module(name)


def serve(sock: socket.socket, parent: int, *, strict: bool = False) -> None:
    """Warm up, give up what is not needed, and answer until the other side is gone."""
    from arco.query.holdings import Holdings, relation_of  # noqa: PLC0415  # comes with Arrow
    from arco.query.session import warm_up  # noqa: PLC0415  # loads the engine

    warm_up()
    allowance = Allowance()
    filtered = confine(parent, strict=strict)
    wire.reply(sock, wire.Ready(filtered))
    child = _Child(allowance, Holdings(relation_of))
    while (received := wire.receive(sock)) is not None:
        request, descriptors = received
        try:
            wire.reply(sock, child.answer(request, descriptors))
        except MemoryError:
            os._exit(EXHAUSTED_CODE)


class _Child:
    """Answers requests; all it remembers between them are its holdings."""

    def __init__(self, allowance: Allowance, holdings: "Holdings[Table]") -> None:
        self._allowance = allowance
        self._holdings = holdings

    def answer(self, request: wire.Request, descriptors: Sequence[int]) -> wire.Reply:
        """The reply to one request. Every exception becomes a refusal in public words; exits and `MemoryError` pass."""
        from arco.query.guard import refuse  # noqa: PLC0415  # loaded before the fork

        try:
            mapped = [_mapped(descriptor) for descriptor in descriptors]
            try:
                return self._answer(request, mapped)
            except (MemoryError, ArcoError, SystemExit):
                raise
            except BaseException as error:  # noqa: BLE001  # a panic of the engine is not an Exception
                refuse(error)
        except ArcoError as fact:
            return wire.Refused(_fact_name(fact), fact.message)

    def _answer(self, request: wire.Request, mapped: Sequence["pa.Buffer"]) -> wire.Reply:
        if isinstance(request, Discover):
            from arco.query.discovery import discover  # noqa: PLC0415  # loaded before the fork

            self._allowance.grant(_DISCOVERY_BYTES, self._holdings.mapped_bytes, _DISCOVERY_S)
            return wire.Names(discover(request.sql, query=request.query))
        if isinstance(request, ReadLog):
            from arco.query.delta_log import live_files  # noqa: PLC0415  # loaded before the fork

            self._allowance.grant(_DISCOVERY_BYTES, self._holdings.mapped_bytes, _DISCOVERY_S)
            return wire.Live(tuple(live_files(request.location, _contents(request.log, mapped))))
        return self._run(request, mapped)

    def _run(self, request: Run, mapped: Sequence["pa.Buffer"]) -> wire.Reply:
        from arco.query.encoding import encode_answer  # noqa: PLC0415  # loaded before the fork
        from arco.query.session import execute  # noqa: PLC0415  # loaded before the fork

        self._holdings.drop(request.drop)
        for block, buffer in zip(request.bring, mapped, strict=False):
            self._holdings.bring(block, buffer)
        given = sum(buffer.size for buffer in mapped[len(request.bring) :])
        limits = request.limits
        self._allowance.grant(limits.memory_bytes, self._holdings.mapped_bytes + given, limits.timeout_s)
        seen = [(relation.name, self._seen(relation, mapped)) for relation in request.relations]
        answer = execute(request, seen)
        if request.output is None:
            return wire.Done(answer.table.num_rows, answer.truncated, b"")
        body = encode_answer(answer, request.output, request.manifest_id, limits.result_bytes_max)
        return wire.Done(answer.table.num_rows, answer.truncated, body)

    def _seen(self, relation: wire.Relation, mapped: Sequence["pa.Buffer"]) -> "Table":
        from datafusion.catalog import Table  # noqa: PLC0415  # loaded before the fork

        from arco.query import files_seen  # noqa: PLC0415  # loaded before the fork

        match relation:
            case BlockRelation(blocks=blocks):
                return self._holdings.relation(blocks)
            case ParquetRelation(files=files, base=base):
                return Table(files_seen.parquet_dataset(_contents(files, mapped), base))
            case DeltaRelation(location=location, log=log, files=files):
                return Table(files_seen.delta_dataset(location, _contents(log, mapped), _contents(files, mapped)))


def _contents(slices: Sequence[Slice], mapped: Sequence["pa.Buffer"]) -> dict[str, "pa.Buffer"]:
    return {one.path: mapped[one.descriptor].slice(one.offset, one.size) for one in slices}


def _mapped(descriptor: int) -> "pa.Buffer":
    import pyarrow as pa  # noqa: PLC0415  # loaded before the fork

    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)  # not `fstat`, which libraries make a call with a path of
        if size == 0:
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ))
    finally:
        os.close(descriptor)


def _fact_name(fact: ArcoError) -> str:
    for name, kind in FACTS.items():
        if type(fact) is kind:
            return name
    return "exhausted" if isinstance(fact, QueryExhausted) else "invalid"
