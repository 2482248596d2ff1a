"""The executions state: one row for each materialisation (catalog.md 2.11)."""

from typing import Final

from arco.kernel.spec import Row, TableSpec

EXECUTIONS: Final = "executions"
"""The domain: ledger prefix and the name of its manifest hint."""


class MaterializationRow(Row, frozen=True, kw_only=True, gc=False):
    """A materialisation. Four fields are the contract's; `sequence` and `event_key` say which event it is of."""

    materialization_id: str
    asset_id: str
    row_count: int
    byte_size: int
    sequence: int
    event_key: str


MATERIALIZATIONS: Final = TableSpec(
    "executions",
    MaterializationRow,
    key=("materialization_id",),
    domain=EXECUTIONS,
    private=frozenset({"sequence", "event_key"}),
)
