"""Assets are functions: test them as such, or together in memory."""

import pyarrow as pa
from assets import best_customer, orders, spending

from arco.testing import materialize


def test_spending_is_summed_by_customer() -> None:
    """A function, called."""
    table = pa.table({"order_id": [1, 2], "customer": ["ada", "ada"], "amount": [1.0, 2.0]})
    assert spending(table).to_pylist() == [{"customer": "ada", "spent": 3.0, "orders": 2}]


def test_the_best_customer_is_found_in_the_orders() -> None:
    """The pipeline, with its checks, and without a server."""
    made = materialize([orders, spending, best_customer])
    assert made.table(best_customer).column("customer").to_pylist() == ["bob"]
