"""A-31: bytes that two readers could cut into requests differently are one 400 and the end of the connection."""

import pytest
from tests.process.servers import Server
from tests.security.wire import catalogs, get, hidden, post, send

pytestmark = pytest.mark.process

HIDDEN = hidden("hidden")
CHUNKED = b"Transfer-Encoding: chunked"
COUNTED = b"Content-Length: 5"

AMBIGUOUS = {
    "length_and_chunks": post(b"0\r\n\r\n" + HIDDEN, COUNTED, CHUNKED),
    "chunks_and_length": post(b"0\r\n\r\n" + HIDDEN, CHUNKED, COUNTED),
    "two_lengths": post(b"hello" + HIDDEN, COUNTED, b"Content-Length: 0"),
    "two_equal_lengths": post(b"hello" + HIDDEN, COUNTED, COUNTED),
    "a_list_of_lengths": post(b"hello" + HIDDEN, b"Content-Length: 5, 5"),
    "plus": post(b"hello" + HIDDEN, b"Content-Length: +5"),
    "minus": post(b"hello" + HIDDEN, b"Content-Length: -5"),
    "hexadecimal": post(b"hello" + HIDDEN, b"Content-Length: 0x5"),
    "octal": post(b"hello" + HIDDEN, b"Content-Length: 05"),
    "underscore": post(b"hello" + HIDDEN, b"Content-Length: 1_0"),
    "empty_length": post(HIDDEN, b"Content-Length:"),
    "xchunked": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: xchunked"),
    "chunked_identity": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: chunked, identity"),
    "identity_chunked": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: identity, chunked"),
    "chunked_twice": post(b"0\r\n\r\n" + HIDDEN, CHUNKED, CHUNKED),
    "chunked_tab": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding: \x0bchunked"),
    "space_before_colon": post(b"0\r\n\r\n" + HIDDEN, b"Transfer-Encoding : chunked"),
    "tab_before_colon": post(b"hello" + HIDDEN, b"Content-Length\t: 5"),
    "space_before_name": post(b"hello" + HIDDEN, b" Content-Length: 5"),
    "bare_lf": post(b"hello" + HIDDEN, COUNTED).replace(b"\r\n", b"\n"),
    "one_bare_lf": post(b"hello" + HIDDEN, b"X: a\nTransfer-Encoding: chunked", COUNTED),
    "bare_cr": post(b"hello" + HIDDEN, b"X: a\rTransfer-Encoding: chunked", COUNTED),
    "folded": post(b"hello" + HIDDEN, b"Transfer-Encoding:\r\n chunked"),
    "folded_length": post(b"hello" + HIDDEN, b"Content-Length: 5\r\n 0"),
    "null": post(b"hello" + HIDDEN, b"X: a\x00b", COUNTED),
    "bad_chunk_end": post(b"5\r\nhelloXX0\r\n\r\n" + HIDDEN, CHUNKED),
    "lf_chunk_end": post(b"5\r\nhello\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "lf_after_size": post(b"5\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "chunk_extension": post(b"5;a=b\r\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "chunk_extension_with_lf": post(b"5;\nxx\r\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "sixteen_digit_chunk": post(b"0000000000000005\r\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "huge_chunk": post(b"FFFFFFFFFFFFFFFF\r\nhello" + HIDDEN, CHUNKED),
    "chunk_with_prefix": post(b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "negative_chunk": post(b"-5\r\nhello\r\n0\r\n\r\n" + HIDDEN, CHUNKED),
    "trailers": post(b"0\r\nContent-Length: 0\r\n\r\n" + HIDDEN, CHUNKED),
    "old_and_chunked": post(b"0\r\n\r\n" + HIDDEN, CHUNKED).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "line_before": b"\r\n" + HIDDEN,
    "h2_preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_a31_is_one_400_and_the_hidden_request_reaches_no_route(shipped: Server, name: str):
    answers = send(shipped.ports["api"], AMBIGUOUS[name])
    assert answers.statuses == [400]
    assert answers.closed
    assert b"connection: close" in answers.said and b"x-request-id: " in answers.said
    assert answers.body["code"] == "BAD_REQUEST" and answers.body["message"]


@pytest.mark.parametrize("role", ["compactor", "dispatcher"])
def test_a31_holds_on_internal_ports_too(shipped: Server, role: str):
    assert send(shipped.ports[role], AMBIGUOUS["length_and_chunks"]).statuses == [400]


def test_a31_no_hidden_request_was_served(shipped: Server):
    assert "hidden" not in catalogs(shipped.ports["api"])


def test_a31_a_first_request_is_answered_before_the_bad_one_after_it_is_refused(shipped: Server):
    answers = send(shipped.ports["api"], get(b"/health", close=False) + AMBIGUOUS["length_and_chunks"])
    assert answers.statuses == [200, 400] and answers.closed


def test_a31_what_is_plain_is_served(shipped: Server):
    port = shipped.ports["api"]
    body = b'{"name":"seen"}'
    whole = post(b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (7, body[:7], len(body) - 7, body[7:]), CHUNKED)
    assert send(port, whole).statuses == [201]
    assert "seen" in catalogs(port)
