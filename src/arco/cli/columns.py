"""The `--columns name:type,...` flag."""

from arco.cli.failures import UsageProblem
from arco.clients.columns import Column


def parse_columns(text: str) -> list[Column]:
    """The columns that `name:type,...` spells; commas inside `()` and `<>` belong to a type. Raises `UsageProblem`."""
    columns = []
    for item in _split(text):
        name, colon, data_type = (part.strip() for part in item.partition(":"))
        if not (name and colon and data_type):
            raise UsageProblem(
                f"--columns: {item.strip()!r} is not name:type", "for instance --columns id:BIGINT,price:DECIMAL(10,2)"
            )
        columns.append({"name": name, "data_type": data_type, "nullable": True})
    return columns


def _split(text: str) -> list[str]:
    items, depth, start = [], 0, 0
    for index, char in enumerate(text):
        depth += {"(": 1, "<": 1, ")": -1, ">": -1}.get(char, 0)
        if char == "," and depth == 0:
            items.append(text[start:index])
            start = index + 1
    items.append(text[start:])
    return items
