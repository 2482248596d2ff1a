"""Checks of an asset's table, between its function and the moment others can read it.

A blocking check that fails keeps the table from being published and fails the task as `DATA_QUALITY`; any other check
only says so. What is looked at is what would be published: nobody ever reads a table that a blocking check refused.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec

from arco.sdk.errors import DefinitionError
from arco.sdk.forms import Form
from arco.sdk.settings import key_of
from arco.sdk.signature import Parameter, annotated_parameters, checked_form, special_parameter

NAME_CHARS_MAX: Final = 128


class Examined(Protocol):
    """A table that is made and not yet published."""

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        ...

    @property
    def column_names(self) -> Sequence[str]:
        """Its columns, in order."""
        ...

    def table(self, columns: Sequence[str] | None = None) -> Any:
        """These columns (all without) as `pyarrow.Table`."""
        ...


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found."""

    passed: bool
    description: str = ""
    metadata: dict[str, Any] = {}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A check that arco knows how to do: `row_count`, `not_null`, `unique` or `freshness`."""

    name: str
    check_type: str
    blocking: bool = True
    columns: tuple[str, ...] = ()
    min_rows: int | None = None
    max_rows: int | None = None
    timestamp_column: str | None = None
    max_age_hours: int | None = None

    def examine(self, table: Examined, now: datetime) -> CheckResult:
        """Look at a table; `now` is what freshness is measured from."""
        wanted = (*self.columns, *filter(None, [self.timestamp_column]))
        if missing := [name for name in wanted if name not in table.column_names]:
            return CheckResult(passed=False, description=f"there is no column {missing[0]}")
        return _KINDS[self.check_type](self, table, now)


class AssetCheck:
    """A check that is a function of the project; calling it calls the function."""

    def __init__(
        self, function: Callable[..., Any], asset: str, *, name: str, blocking: bool, description: str
    ) -> None:
        self.function = function
        self.asset = asset
        self.name = name
        self.blocking = blocking
        self.description = description
        self.file = inspect.getsourcefile(function) or "<unknown>"
        self.line = function.__code__.co_firstlineno
        self.table, self.form, self.parameters = _check_parameters(function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"AssetCheck({self.name!r} of {self.asset!r})"


def row_count(
    *, min: int | None = None, max: int | None = None, name: str = "row_count", blocking: bool = True
) -> Check:
    """The table has so many rows: at least `min`, at most `max`."""
    if min is None and max is None:
        raise DefinitionError("checks.row_count: say min, max or both")
    if (min is not None and min < 0) or (max is not None and max < (min or 0)):
        raise DefinitionError(f"checks.row_count: no table has {min} to {max} rows")
    return Check(name=name, check_type="row_count", blocking=blocking, min_rows=min, max_rows=max)


def not_null(*columns: str, name: str | None = None, blocking: bool = True) -> Check:
    """No row lacks a value in any of these columns."""
    return _of_columns("not_null", columns, name, blocking=blocking)


def unique(*columns: str, name: str | None = None, blocking: bool = True) -> Check:
    """No two rows have the same values in these columns together."""
    return _of_columns("unique", columns, name, blocking=blocking)


def freshness(column: str, *, max_age_hours: int, name: str | None = None, blocking: bool = True) -> Check:
    """The newest value of a column of times is not older than this."""
    if max_age_hours < 1:
        raise DefinitionError("checks.freshness: max_age_hours is at least 1")
    return Check(
        name=name or f"freshness_{column}",
        check_type="freshness",
        blocking=blocking,
        timestamp_column=column,
        max_age_hours=max_age_hours,
    )


def asset_check(
    *, asset: Any, name: str | None = None, blocking: bool = True, description: str | None = None
) -> Callable[[Callable[..., Any]], AssetCheck]:
    """Make a function a check of an asset's table.

    It is given the table in the form its annotation asks for, and returns whether the check passed, a `CheckResult` or
    nothing; a failed `assert` is a failed check. Raises `DefinitionError`.
    """

    def decorate(function: Callable[..., Any]) -> AssetCheck:
        called = name or function.__name__
        where = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}: asset_check {called}"
        try:
            if not 0 < len(called) <= NAME_CHARS_MAX:
                raise DefinitionError(f"name: 1 to {NAME_CHARS_MAX} characters")
            words = description if description is not None else inspect.getdoc(function) or ""
            return AssetCheck(function, key_of(asset), name=called, blocking=blocking, description=words)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {error.message}") from None

    return decorate


def result_of(found: Any) -> CheckResult:
    """What a check's function returned, as a result. Raises `TypeError` for anything that says nothing."""
    if isinstance(found, CheckResult):
        return found
    if found is None:
        return CheckResult(passed=True)
    if isinstance(found, bool) or type(found).__name__ in ("bool_", "bool"):
        return CheckResult(passed=bool(found))
    raise TypeError(f"a check returns True, False or CheckResult, not {type(found).__name__}")


def _check_parameters(function: Callable[..., Any]) -> tuple[str | None, Form, tuple[Parameter, ...]]:
    """The name of the parameter that is given the table, its form, and the other parameters."""
    table: tuple[str, Form] | None = None
    others: list[Parameter] = []
    for parameter, annotation, extras in annotated_parameters(function):
        if (special := special_parameter(parameter, annotation, extras)) is not None:
            others.append(special)
        elif parameter.default is not parameter.empty:
            continue
        elif table is None:
            table = parameter.name, checked_form(parameter.name, annotation)
        else:
            raise DefinitionError(f"parameter {parameter.name}: a check is given one table, and that is {table[0]}")
    name, form = table or (None, "arrow")
    if form in ("path", "paths", "url", "urls", "handle"):
        raise DefinitionError(f"parameter {name}: what is not published yet has no {form}; take a table or a frame")
    return name, form, tuple(others)


def _of_columns(kind: str, columns: Sequence[str], name: str | None, *, blocking: bool) -> Check:
    if not columns or not all(isinstance(column, str) for column in columns):
        raise DefinitionError(f'checks.{kind}: name at least one column, such as checks.{kind}("id")')
    called = name or f"{kind}_{'_'.join(columns)}"[:NAME_CHARS_MAX]
    return Check(name=called, check_type=kind, blocking=blocking, columns=tuple(columns))


def _rows(check: Check, table: Examined, now: datetime) -> CheckResult:
    rows = table.row_count
    enough = check.min_rows is None or rows >= check.min_rows
    passed = enough and (check.max_rows is None or rows <= check.max_rows)
    bound = f"at least {check.min_rows}" if not enough else f"at most {check.max_rows}"
    words = "" if passed else f"{rows} rows, and there should be {bound}"
    return CheckResult(passed=passed, description=words, metadata={"rows": rows})


def _nulls(check: Check, table: Examined, now: datetime) -> CheckResult:
    values = table.table(check.columns)
    counts = {name: values.column(name).null_count for name in check.columns}
    bad = {name: count for name, count in counts.items() if count}
    words = ", ".join(f"{count} rows without {name}" for name, count in bad.items())
    return CheckResult(passed=not bad, description=words, metadata={"nulls": counts})


def _repeated(check: Check, table: Examined, now: datetime) -> CheckResult:
    values = table.table(check.columns)
    different = values.group_by(list(check.columns)).aggregate([]).num_rows
    surplus = values.num_rows - different
    words = f"{surplus} rows repeat the {', '.join(check.columns)} of another" if surplus else ""
    return CheckResult(passed=not surplus, description=words, metadata={"repeated": surplus})


def _age(check: Check, table: Examined, now: datetime) -> CheckResult:
    import pyarrow.compute as pc  # noqa: PLC0415  # only where a table is looked at

    column, hours = check.timestamp_column or "", check.max_age_hours or 0
    newest = pc.max(table.table([column]).column(column)).as_py()
    if newest is None:
        return CheckResult(passed=False, description=f"{column} has no value at all")
    moment = _moment(newest)
    if moment is None:
        return CheckResult(passed=False, description=f"{column} holds no times but {type(newest).__name__}")
    passed = now - moment <= timedelta(hours=hours)
    words = (
        "" if passed else f"the newest {column}, {moment.isoformat()}, is more than {hours} h old at {now.isoformat()}"
    )
    return CheckResult(passed=passed, description=words, metadata={"newest": moment.isoformat()})


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


_KINDS: Final[Mapping[str, Callable[[Check, Examined, datetime], CheckResult]]] = {
    "row_count": _rows,
    "not_null": _nulls,
    "unique": _repeated,
    "freshness": _age,
}
