"""What the property tests draw: texts, payloads, bytes that look like lines, and ways to cut bytes."""

import msgspec
from hypothesis import strategies as st

from collector.messages.payload import Payload

MAX_AMOUNT = 2**63 - 1
# What CSV, COPY's text format, JSON, terminals and sorting each treat in a way of their own.
AWKWARD = "\\\"',;{}\n\r\t\b\f\v\x1b\x7f\x85\u2028\ufeff\u0301é€😀\U0010ffff.NnullÄ "
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30),
    st.text(AWKWARD, min_size=1, max_size=20),
    st.sampled_from(["\\.", "\\N", '"', '""', "\\", "\\\\", "null", "x" * 256, "😀" * 256, "'", ",", "\ufeff"]),
)
amounts = st.one_of(st.integers(0, MAX_AMOUNT), st.sampled_from([0, 1, 299_999, 300_000, 2**31, MAX_AMOUNT]))


def payloads(
    token: st.SearchStrategy[str] = texts,
    customer: st.SearchStrategy[str] = texts,
    content: st.SearchStrategy[str] = texts,
) -> st.SearchStrategy[Payload]:
    """Payloads that are accepted."""
    return st.builds(
        Payload,
        token=token,
        customer=customer,
        content=content,
        timespan=amounts,
        p2p=amounts,
        cdn=amounts,
        session_duration=amounts,
    )


def encoded(payload: Payload) -> bytes:
    """The payload as a device sends it: one line, without its newline."""
    return msgspec.json.encode(payload)


@st.composite
def chunkings(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The bytes in pieces, some of them empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


VALID = encoded(Payload("t", "acme", "film", 1, 2, 3, 4))
# Pieces that, one after another, make every kind of trouble: values that span lines, two on a line, blank lines.
FRAGMENTS = [
    VALID,
    VALID + b"\n",
    VALID + b"\n" + VALID + b"\n",
    VALID + b"\r\n",
    VALID + VALID + b"\n",
    VALID + b" " + VALID + b"\n",
    VALID.replace(b",", b",\n", 1),
    VALID.replace(b"{", b"{\n", 1),
    VALID[:-1] + b',"x":{}\n}\n',
    VALID[:-1] + b',"x":[{}\n,{}]}\n',
    VALID.replace(b'"t"', b'"\\u0000"') + b"\n",
    VALID.replace(b'"t"', b'"a}\\n{b"') + b"\n",
    VALID.replace(b'"t"', b'"a}\n{b"') + b"\n",
    VALID.replace(b'"t"', b'"\xff"') + b"\n",
    VALID.replace(b'"t"', b'"\\ud800"') + b"\n",
    VALID.replace(b"3", b"1" * 400) + b"\n",
    VALID[:20],
    b"\n",
    b"}\n{",
    b"{}\n",
    b"[]\n",
    b"{",
    b"}",
    b" \t\n",
    b"null\n",
    b"\xef\xbb\xbf",
    b'"',
    b"\0",
]
jsonish = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=6)), max_size=12).map(b"".join)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Lines of payloads with some of their bytes changed."""
    data = bytearray(b"".join(encoded(payload) + b"\n" for payload in draw(st.lists(payloads(), max_size=4))))
    for _ in range(draw(st.integers(0, 3))):
        if data:
            at = draw(st.integers(0, len(data) - 1))
            data[at : at + draw(st.integers(0, 2))] = draw(
                st.sampled_from([b"", b"\n", b"{", b"}", b'"', b"\\", b"\xff"])
            )
    return bytes(data)


streams = st.one_of(jsonish, mutated())
