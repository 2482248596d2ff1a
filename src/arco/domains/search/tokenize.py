"""Text to words. Pure, and the same for ever: what is indexed is derived again whenever a chain is verified.

The contract's tokens are the runs of ASCII letters, digits and `_`, two bytes and longer, in lower case (catalog.md
8.3). Ours come on top: words of other scripts, the parts of a name between `_` and at changes of case, and every name
as a whole. What separates words outside ASCII is a fixed list: tables of Unicode change with the Python version.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

from arco.core.limits import SEARCH_WORD_CHARS_MAX

_ASCII_WORD: Final = re.compile(r"[A-Za-z0-9_]{2,}")
_SEPARATORS: Final = (
    "\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u1680\u2000-\u206f\u2190-\u2bff\u2e00-\u2e7f"
    "\u3000-\u3004\u3008-\u3020\u3030\ufe10-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufffd"
)
_WORD: Final = re.compile(f"(?:[A-Za-z0-9_]|(?![{_SEPARATORS}])[^\x00-\x7f])+")
_PART: Final = re.compile(r"[A-Z]+(?![a-z\x80-\U0010ffff])[0-9]*|[A-Z]?[a-z0-9\x80-\U0010ffff]+")


class Word(NamedTuple):
    """A word as it is written and as it is looked up; `contracted` when it is one of the contract's tokens."""

    text: str
    normal: str
    contracted: bool


def normal(text: str) -> str:
    """How a word is looked up: in lower case, accents composed."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


@lru_cache(maxsize=4096)
def name_words(name: str) -> tuple[Word, ...]:
    """The words of a name, the name itself first, each once: what it can be found by.

    Words the contract has too are marked.
    """
    contracted = {normal(text) for text in _ASCII_WORD.findall(name)}
    found: dict[str, Word] = {}
    for text in (name, *_ASCII_WORD.findall(name), *_split(name)):
        word = normal(text)
        if word not in found and (text is name or len(word.encode()) > 1):
            found[word] = Word(text, word, word in contracted)
    return tuple(found.values())


def text_words(text: str, most: int) -> list[Word]:
    """The first `most` different words of a text."""
    found: dict[str, Word] = {}
    for contracted, pattern in ((True, _ASCII_WORD), (False, _WORD)):
        if not contracted and text.isascii():
            break
        for match in pattern.finditer(text):
            word = normal(match[0])
            if word in found or len(word) > SEARCH_WORD_CHARS_MAX or len(word.encode()) < 2:
                continue
            if len(found) >= most:
                return list(found.values())
            found[word] = Word(match[0], word, contracted)
    return list(found.values())


def query_words(text: str) -> list[str]:
    """The words somebody looks for, in order, each once; the last one may be the beginning of a word."""
    return list(dict.fromkeys(normal(word) for word in _WORD.findall(text) if word.strip("_")))


def _split(name: str) -> list[str]:
    """Words of a name, and their parts: between `_`, and where the case changes."""
    words = _WORD.findall(name)
    return [*words, *(part for word in words for part in _PART.findall(word))]
