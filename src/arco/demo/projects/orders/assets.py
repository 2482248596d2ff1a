"""Assets: functions whose result is a table. `arco dev` runs them."""

import pyarrow as pa
import pyarrow.compute as pc

from arco import AssetIn, RetryPolicy, asset, checks

AGAIN = RetryPolicy(max_retries=2, delay_seconds=2)
"""How often and how soon a task that failed is tried again; unless said, twice, after 30 and 60 seconds."""


@asset(namespace="raw", retries=AGAIN)
def orders() -> pa.Table:
    """Orders as they came in."""
    print("reading orders")
    return pa.table(
        {
            "order_id": [1, 2, 3, 4, 5, 6],
            "customer": ["ada", "bob", "ada", "eve", "bob", "ada"],
            "amount": [12.5, 99.0, 7.25, 31.0, 4.75, 18.5],
        }
    )


@asset(
    namespace="marts",
    inputs={"orders": AssetIn("raw.orders")},
    checks=[checks.not_null("customer"), checks.unique("customer")],
    retries=AGAIN,
)
def spending(orders: pa.Table) -> pa.Table:
    """What each customer spent."""
    table = orders.group_by("customer").aggregate([("amount", "sum"), ("order_id", "count")])
    return table.rename_columns(["customer", "spent", "orders"])


@asset(namespace="marts", retries=AGAIN)
def best_customer(spending: pa.Table) -> pa.Table:
    """Who spent most."""
    return spending.filter(pc.equal(spending["spent"], pc.max(spending["spent"])))
