"""The wire gate as a pure reader of bytes: one reading, however the bytes arrive, and the parser behind it agrees."""

from collections.abc import Sequence
from itertools import pairwise

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arco.edge.wire_gate import HEAD_BYTES_MAX, HEADERS_MAX, Refused, WireGate, parse_head

HEAD = b"POST /api/v1/catalogs?limit=1 HTTP/1.1\r\nHost: localhost:8080\r\n"


def through(data: bytes, cuts: Sequence[int] = ()) -> tuple[list[bytes], Refused | None]:
    """The requests that the gate gives out of `data` cut into pieces, and why it stopped."""
    gate, requests, current = WireGate(), [], b""
    edges = sorted({0, len(data), *[cut % (len(data) + 1) for cut in cuts]})
    for start, end in pairwise(edges):
        gate.receive(data[start:end])
        try:
            while True:
                if gate.complete:
                    requests.append(current)
                    current = b""
                    gate.proceed()
                piece = gate.next()
                if piece is None:
                    break
                current += piece
        except Refused as refusal:
            return requests, refusal
    return requests, None


def read_by_h11(data: bytes) -> tuple[bytes, bytes, dict[bytes, bytes], bytes]:
    """Method, target, headers and body of exactly one request."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    request, body = parser.next_event(), b""
    assert isinstance(request, h11.Request)
    while isinstance(event := parser.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    assert not list(event.headers)
    assert parser.trailing_data[0] == b""
    return request.method, request.target, dict(request.headers), body


def refusal(data: bytes) -> Refused:
    """Why these bytes are refused."""
    requests, found = through(data)
    assert requests == [] and found is not None
    return found


def test_a_plain_request_passes_with_its_names_in_lower_case():
    requests, refused = through(HEAD + b"Accept:  */* \r\nContent-Length: 2\r\n\r\n{}GET")
    assert refused is None
    assert read_by_h11(requests[0]) == (
        b"POST",
        b"/api/v1/catalogs?limit=1",
        {b"host": b"localhost:8080", b"accept": b"*/*", b"content-length": b"2"},
        b"{}",
    )


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"get / HTTP/1.1",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET /",
        b"GET /a b HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /#a HTTP/1.1",
        b"GET /a\\b HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b"OPTIONS * HTTP/1.1",
        b"PRI * HTTP/2.0",
        b" GET / HTTP/1.1",
        b"",
        b"\x16\x03\x01",
    ],
)
def test_a_request_line_has_one_spelling(line):
    assert refusal(line + b"\r\nHost: a\r\n\r\n").reason == "malformed_request"


@pytest.mark.parametrize("target", [b"http://evil/api/v1/catalogs", b"evil:443", b"https://a/"])
def test_a_target_is_a_path(target):
    assert refusal(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n").reason == "ambiguous_request"


@pytest.mark.parametrize(
    "header",
    [
        b"Name : v",
        b"Name\t: v",
        b" Folded: v",
        b"\tFolded: v",
        b": v",
        b"no colon",
        b"Na me: v",
        b"Name: a\x00b",
        b"Name: a\rb",
        b"Name: a\nX: b",
        b"Name: \x7f",
        b"N\xc3\xa4me: v",
        b"Name: a\r\n\tfolded",
        b"Name: a\r\n folded",
    ],
)
def test_a_header_has_one_spelling(header):
    assert refusal(HEAD + header + b"\r\n\r\n").reason == "malformed_request"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length: 05",
        b"Content-Length: 5_0",
        b"Content-Length: ",
        b"Content-Length: \xd9\xa5",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:",
        b"Host: other",
        b"Connection: Authorization",
        b"Connection: close, X-Tenant-Id",
        b"Connection: keep-alive\r\nConnection: content-length",
    ],
)
def test_a_body_an_origin_and_an_identity_are_told_once(headers):
    assert refusal(HEAD + headers + b"\r\n\r\nhello").status == 400


def test_a_request_of_an_old_client_may_lack_a_host_but_not_be_chunked():
    requests, refused = through(b"GET / HTTP/1.0\r\n\r\n")
    assert refused is None and len(requests) == 1
    assert refusal(b"GET / HTTP/1.1\r\n\r\n").reason == "ambiguous_request"
    assert refusal(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").status == 400


@pytest.mark.parametrize("host", [b"", b"a b", b"a,b", b"user@host", b"host/path", b"a:port", b"[::1", b"a:1:2"])
def test_a_host_is_a_name_or_an_address(host):
    assert refusal(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"5;a=b\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r\r0\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"0\r\nTrailer: a\r\n\r\n",
        b"0\r\nX",
        b"0\r\n\n",
    ],
)
def test_a_chunk_has_one_spelling(body):
    requests, refused = through(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert requests == [] and refused is not None and refused.reason == "malformed_request"


def test_headers_are_bounded_in_number_and_size():
    assert refusal(HEAD + b"a: b\r\n" * HEADERS_MAX + b"\r\n").status == 431
    requests, refused = through(HEAD + b"a: b\r\n" * (HEADERS_MAX - 1) + b"\r\n")
    assert refused is None and len(requests) == 1
    assert refusal(HEAD + b"a: " + b"b" * HEAD_BYTES_MAX).status == 431


def test_dust_instead_of_chunks_is_refused():
    dust = b"1\r\na\r\n" * 5_000
    refused = through(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + dust)[1]
    assert refused is not None and "larger" in refused.message
    fair = b"40\r\n" + b"a" * 64 + b"\r\n"
    assert through(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + fair * 5_000 + b"0\r\n\r\n")[1] is None


def test_what_is_about_the_connection_ends_here():
    told = parse_head(
        HEAD
        + b"X_Tenant_Id: b\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings, Foo\r\n"
        b"Foo: 1\r\nKeep-Alive: 9\r\nTE: trailers\r\nTrailer: X\r\nExpect: 100-Continue\r\nX-Kept: yes\r\n\r\n"
    )
    assert told.text == (
        b"POST /api/v1/catalogs?limit=1 HTTP/1.1\r\nhost: localhost:8080\r\nx-kept: yes\r\nexpect: 100-continue\r\n\r\n"
    )
    assert b"connection: close" in parse_head(HEAD + b"Connection: keep-alive, Close\r\n\r\n").text


def test_garbage_is_refused_before_it_ends():
    for start in (b"\x16", b"\r\n", b"1", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nHost: a\n"):
        assert refusal(start).status == 400


names = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,12}", fullmatch=True).map(str.encode)
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(str.encode)
SPECIAL = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te", b"trailer"}
SPECIAL |= {b"keep-alive", b"proxy-connection", b"http2-settings"}


@st.composite
def requests(draw):
    """A proper request as bytes, with its headers and body."""
    target = b"/" + draw(values).replace(b"#", b"").replace(b"\\", b"")
    headers = draw(st.lists(st.tuples(names, values), max_size=5, unique_by=lambda pair: pair[0].lower()))
    headers = [pair for pair in headers if pair[0].lower() not in SPECIAL]
    body = draw(st.binary(max_size=200))
    lines = [b"POST " + target + b" HTTP/1.1", b"Host: x", *[name + b": " + value for name, value in headers]]
    if draw(st.booleans()):
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=4))})
        parts = [body[a:b] for a, b in pairwise(cuts)]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        lines.append(b"Transfer-Encoding: chunked")
    else:
        sent = body
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + sent, (target, headers, body)


@settings(max_examples=150, deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3), st.lists(st.integers(0, 2_000), max_size=20))
def test_proper_requests_pass_however_they_are_cut_and_the_parser_behind_reads_the_same(made, cuts):
    found, refused = through(b"".join(data for data, _ in made), cuts)
    assert refused is None
    assert len(found) == len(made)
    for text, (_, (target, headers, body)) in zip(found, made, strict=True):
        method, read_target, read_headers, read_body = read_by_h11(text)
        assert (method, read_target, read_body) == (b"POST", target, body)
        assert {name.lower(): value for name, value in headers}.items() <= read_headers.items()


mutations = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(
            [
                *(
                    b"\r",
                    b"\n",
                    b"\r\n",
                    b" ",
                    b"\t",
                    b":",
                    b";",
                    b",",
                    b"0",
                    b"5",
                    b"+",
                    b"\x00",
                    b"\x80",
                    b"_",
                    b"%0a",
                ),
                *(
                    b"\r\nContent-Length: 3",
                    b"\r\nTransfer-Encoding: chunked",
                    b"\r\n\r\n",
                    b"\r\n folded",
                    b"http://a/",
                ),
            ]
        ),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=400, deadline=None)
@given(requests(), mutations, st.lists(st.integers(0, 2_000), max_size=6))
@example((HEAD + b"Content-Length: 0\r\n\r\n", ()), [(0, b"\r\n", 0)], [3])
def test_whatever_passes_has_one_reading(made, changes, cuts):
    """The gate says the same however bytes are cut, and what it gives out h11 reads as exactly one request each."""
    data = made[0]
    for place, inserted, removed in changes:
        at = place % (len(data) + 1)
        data = data[:at] + inserted + data[at + removed :]
    whole, refused = through(data)
    cut, cut_refused = through(data, cuts)
    told = (refused.reason, refused.status) if refused else None
    assert ((cut_refused.reason, cut_refused.status) if cut_refused else None) == told
    assert [read_by_h11(text) for text in cut] == [read_by_h11(text) for text in whole]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_no_bytes_are_an_error_of_ours(data, cuts):
    for text in through(data, cuts)[0]:
        read_by_h11(text)
