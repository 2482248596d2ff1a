"""An asset under a decorator of its project, in a module whose annotations are texts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import polars as pl

from arco import AssetIn, Context, asset


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """What projects put around functions."""

    @functools.wraps(function)
    def around(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return around


@asset
@timed
def timed_report(orders: Annotated[pl.DataFrame, AssetIn("default.orders")], context: Context) -> pl.DataFrame:
    """A report."""
    return orders
