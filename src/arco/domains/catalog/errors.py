"""Facts only the catalog knows. They inherit from the core's, which is how the edge tells them."""

from arco.core.errors import InvalidInput


class NotEmpty(InvalidInput):
    """The catalog still holds schemas, or the schema tables (400 in the contract, 4.6)."""


class ReservedName(InvalidInput):
    """The catalog `default` can be neither renamed nor made by renaming."""
