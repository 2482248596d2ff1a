"""Columns of a million rows as a few flat arrays: no object for a value until somebody asks for it. Pure.

Immutable by agreement: whoever builds one hands it over and keeps no reference, so columns are shared freely between
requests.
"""

from array import array
from binascii import unhexlify
from collections.abc import Sequence
from typing import Final

DIGEST_BYTES: Final = 32
"""SHA-256; its 64 hexadecimal digits take twice that."""


_LOWER_HEX: Final = b"0123456789abcdef"


class Texts:
    """A list of texts as their UTF-8 bytes in a row: text `i` is `data[offsets[i]:offsets[i + 1]]`."""

    __slots__ = ("_data", "_offsets")

    def __init__(self, offsets: "array[int]", data: bytes) -> None:
        self._offsets = offsets
        self._data = data

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> str:
        return self._data[self._offsets[index] : self._offsets[index + 1]].decode()

    def take(self, indexes: Sequence[int]) -> list[str]:
        """The texts at these places."""
        data, offsets = self._data, self._offsets
        return [data[offsets[index] : offsets[index + 1]].decode() for index in indexes]

    def find(self, text: str) -> int | None:
        """Where `text` is in a list sorted by UTF-8 bytes, or None."""
        wanted = text.encode("utf-8", "surrogatepass")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._data[self._offsets[middle] : self._offsets[middle + 1]] < wanted:
                low = middle + 1
            else:
                high = middle
        if low < len(self) and self._data[self._offsets[low] : self._offsets[low + 1]] == wanted:
            return low
        return None

    def digests(self) -> "Digests | None":
        """The same list at half the size, or None when one of the texts is not a lower-case digest."""
        width = 2 * DIGEST_BYTES
        if self._offsets != array("i", range(0, width * len(self) + 1, width)):
            return None
        # `unhexlify` forgives capitals; ids are opaque, so nothing may be forgiven.
        if self._data.translate(None, _LOWER_HEX):
            return None
        return Digests(unhexlify(self._data))

    @property
    def size_bytes(self) -> int:
        """Bytes held."""
        return len(self._data) + _array_bytes(self._offsets)


class Digests:
    """A list of 64-digit lower-case hexadecimal texts, at half their size."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, indexes: Sequence[int]) -> list[str]:
        """The texts at these places."""
        data = self._data
        return [data[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES].hex() for index in indexes]

    @property
    def size_bytes(self) -> int:
        """Bytes held."""
        return len(self._data)


class Repeats:
    """A list of texts that repeat: each distinct one once, and its number for every row; the last number is None."""

    __slots__ = ("_codes", "_values")

    def __init__(self, codes: "array[int]", values: Texts) -> None:
        self._codes = codes
        self._values = values

    def take(self, indexes: Sequence[int]) -> list[str | None]:
        """The texts at these places."""
        codes = [self._codes[index] for index in indexes]
        texts = {code: None if code == len(self._values) else self._values[code] for code in set(codes)}
        return [texts[code] for code in codes]

    @property
    def size_bytes(self) -> int:
        """Bytes held."""
        return _array_bytes(self._codes) + self._values.size_bytes


def _array_bytes(numbers: "array[int]") -> int:
    return len(numbers) * numbers.itemsize
