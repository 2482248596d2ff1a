"""What sieves let pass: all that may count, told from few fields and from all names in one piece."""

from hypothesis import given
from hypothesis import strategies as st

from arco.domains.search.rank import EXACT, Stream
from arco.domains.search.rows import TABLE, TABLE_DESCRIPTION, TABLE_WORD
from arco.domains.search.sieves import ALL, holding, named
from arco.domains.search.tokenize import normal

STREAM = Stream(TABLE, TABLE_WORD, EXACT, "order")
texts = st.text(st.sampled_from("abAÉé_\n ß"), max_size=4)
postings = st.lists(st.tuples(texts, st.none() | texts, st.sampled_from(["t1", "t2", "t3"])), max_size=8)
words = st.lists(texts.map(normal).filter(bool), min_size=1, max_size=3)


@given(postings, words)
def test_a_posting_passes_when_every_word_occurs_in_its_name(rows: list[tuple[str, str | None, str]], asked: list[str]):
    tokens, names = [row[0] for row in rows], [row[1] for row in rows]
    expected = [at for at, (token, name, _) in enumerate(rows) if all(w in normal(name or token) for w in asked)]
    assert named(asked).keep(tokens, names) == expected


@given(postings, words, st.frozensets(st.sampled_from(["t1", "t2", "t3"])))
def test_a_posting_passes_when_its_object_or_its_name_has_the_word(
    rows: list[tuple[str, str | None, str]], asked: list[str], held: frozenset[str]
):
    sieve = holding(STREAM, dict.fromkeys(asked, held))
    assert sieve.fields == ("token", "name", "object_id")
    expected = [
        at
        for at, (token, name, one) in enumerate(rows)
        if all(one in held or word in normal(name or token) for word in asked)
    ]
    assert sieve.keep(*([row[field] for row in rows] for field in range(3))) == expected


def test_of_words_that_no_name_holds_only_the_objects_are_looked_at():
    sieve = holding(STREAM, {"a": frozenset({"t1", "t2"}), "b": frozenset({"t2", "t3"})}, nameless=["a", "b"])
    assert sieve.fields == ("object_id",)
    assert sieve.keep(["t1", "t2", "t2", "t4"]) == [1, 2]
    assert sieve.keep(["t1", "t4"]) == []
    assert holding(STREAM, {"a": frozenset({"t1"}), "b": frozenset()}, nameless=["a"]).fields[0] == "token"
    described = Stream(TABLE, TABLE_DESCRIPTION, EXACT, "order")
    assert holding(described, {"a": None}, nameless=["a"]) is ALL
