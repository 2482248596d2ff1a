"""In which form a function wants a table, read from its parameter's annotation; imports none of the libraries. Pure."""

import re
from typing import Any, Final, Literal, get_args, get_origin

Form = Literal["arrow", "batches", "polars", "lazy", "pandas", "path", "paths", "url", "urls", "handle"]

_BY_CLASS: Final[dict[tuple[str, str], Form]] = {
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "batches",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "lazy",
    ("pandas", "DataFrame"): "pandas",
    ("pathlib", "Path"): "path",
    ("builtins", "str"): "url",
    ("arco", "InputTable"): "handle",
}
_BY_ALIAS: Final = {
    **{alias: ("pyarrow", alias.partition(".")[2]) for alias in ("pa.Table", "pa.RecordBatchReader")},
    **{alias: ("polars", alias.partition(".")[2]) for alias in ("pl.DataFrame", "pl.LazyFrame")},
    "LazyFrame": ("polars", "LazyFrame"),
    "RecordBatchReader": ("pyarrow", "RecordBatchReader"),
    "pd.DataFrame": ("pandas", "DataFrame"),
    "Path": ("pathlib", "Path"),
    "str": ("builtins", "str"),
    "InputTable": ("arco", "InputTable"),
}
_LIST: Final = re.compile(r"(?:typing\.)?[Ll]ist\[(.+)\]\Z")

CHOICES: Final = (
    "pyarrow.Table, pyarrow.RecordBatchReader, polars.DataFrame, polars.LazyFrame, pandas.DataFrame, pathlib.Path, "
    "list[Path], str (its URL), list[str] or arco.InputTable"
)


def form_of(annotation: Any) -> Form | None:
    """The form that an annotation asks for; None when it names none we know.

    Takes classes and, for names that only a type checker imports, their text. No annotation means Arrow.
    """
    if annotation is None or annotation is Any:
        return "arrow"
    if isinstance(annotation, str):
        return _of_text(annotation.strip())
    if get_origin(annotation) is list and len(get_args(annotation)) == 1:
        return _many(form_of(get_args(annotation)[0]))
    if not isinstance(annotation, type):
        return None
    return _BY_CLASS.get((annotation.__module__.partition(".")[0], annotation.__name__))


def _of_text(text: str) -> Form | None:
    if inner := _LIST.match(text):
        return _many(_of_text(inner[1].strip()))
    library, _, name = text.rpartition(".")
    return _BY_CLASS.get(_BY_ALIAS.get(text, (library.partition(".")[0], name)))


def _many(one: Form | None) -> Form | None:
    if one == "path":
        return "paths"
    return "urls" if one == "url" else None
