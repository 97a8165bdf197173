"""The event stream decoder: the same bytes give the same events, however they are cut."""

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import ModelProtocolError
from glm_agent.wire import sse
from glm_agent.wire.sse import Decoder, ServerSentEvent


def decoded(pieces: Iterable[bytes]) -> list[ServerSentEvent]:
    decoder = Decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + list(decoder.close())


def data_of(stream: bytes) -> list[bytes]:
    return [event.data for event in decoded([stream])]


STREAMS = {
    "one line per event": (b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n', [b'{"a":1}', b'{"b":2}', b"[DONE]"]),
    "carriage returns": (b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\rdata: 3\n\n', [b'{"a":1}', b'{"b":2}', b"3"]),
    "no space after the colon": (b'data:{"a":1}\n\n', [b'{"a":1}']),
    "only one space belongs to the syntax": (b"data:  x\n\n", [b" x"]),
    "several data lines are one event": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "comments and foreign fields": (b": PROCESSING\n\nid: 7\nretry: 9\ndata: x\n: y\n\n", [b"x"]),
    "an empty event is none": (b"event: ping\n\n\n\ndata: x\n\n", [b"x"]),
    "a mark of byte order": (b"\xef\xbb\xbfdata: x\n\n", [b"x"]),
    "no line break at the end": (b"data: x\n\ndata: [DONE]", [b"x", b"[DONE]"]),
    "bare JSON between events": (b'data: x\n{"error":{}}\n\ndata: y\n\n', [b"x", b'{"error":{}}', b"y"]),
    "a foreign line inside the quick form": (b'data: {"a":1}\nid: 1\n\ndata: {"b":2}\n\n', [b'{"a":1}', b'{"b":2}']),
    "a field without a colon": (b"data\n\nnonsense\n\ndata: x\n\n", [b"", b"x"]),
    "nothing": (b"", []),
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_decodes_to_its_events_whole_and_byte_by_byte(name: str) -> None:
    stream, expected = STREAMS[name]
    assert data_of(stream) == expected
    assert decoded(stream[i : i + 1] for i in range(len(stream))) == decoded([stream])


LINES = st.sampled_from(
    [b'data: {"a":1}', b'data: {"t":"\xc3\xa9"}', b"data:x", b"data: [DONE]", b"event: error", b"event: ping", b": c"]
) | st.sampled_from([b"", b"", b"", b'{"error":1}', b"id: 1", b"\xef\xbb\xbfdata: b", b"data: \xff\xfe", b"data"])
STREAM = st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])), max_size=24).map(
    lambda lines: b"".join(line + end for line, end in lines)
)


@given(STREAM, st.data())
def test_any_stream_in_any_cuts_gives_the_same_events(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)) | {0, len(stream)})
    pieces = [stream[a:b] for a, b in pairwise(cuts)]
    assert decoded(pieces) == decoded([stream]) == decoded(stream[i : i + 1] for i in range(len(stream)))


def test_the_name_of_an_event_ends_with_it() -> None:
    events = decoded([b'event: error\ndata: {"m":1}\n\nevent: x\n\ndata: y\n\n'])
    assert events == [ServerSentEvent("error", b'{"m":1}'), ServerSentEvent("", b"y")]


def test_only_the_event_field_names_an_event() -> None:
    assert decoded([b"id: error\nname: error\ndata: x\n\n"]) == [ServerSentEvent("", b"x")]


def test_nothing_between_a_carriage_return_and_its_line_feed_changes_nothing() -> None:
    assert [event.data for event in decoded([b"data: x\r", b"", b"\ndata: y\r", b"\n\r\n"])] == [b"x\ny"]


def test_an_endless_line_is_refused_in_the_quick_form_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LINE_LIMIT", 5000)
    with pytest.raises(ModelProtocolError, match="a line"):
        decoded([b"data: {" + b"y" * 6000 + b"}\n\n"])


@pytest.mark.parametrize("size", [1000, 2**16])
def test_an_endless_line_is_refused_and_what_came_before_is_kept(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LINE_LIMIT", 5000)
    stream = b"data: x\n\n" + b"data: " + b"y" * 6000 + b"\n\n"
    decoder = Decoder()
    seen: list[ServerSentEvent] = []
    with pytest.raises(ModelProtocolError, match="a line"):  # noqa: PT012
        for i in range(0, len(stream), size):
            for event in decoder.feed(stream[i : i + size]):
                seen.append(event)
    assert [event.data for event in seen] == [b"x"]


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_LIMIT", 5000)
    with pytest.raises(ModelProtocolError, match="an event"):
        decoded([b"data: " + b"y" * 1000 + b"\n"] * 6)


def test_a_long_line_in_single_bytes_is_read_in_linear_time() -> None:
    # A quadratic decoder would copy a terabyte here.
    line = b"data: " + b"y" * 2**20 + b"\n\n"
    decoder = Decoder()
    events = [event for i in range(len(line)) for event in decoder.feed(line[i : i + 1])]
    assert len(events) == 1
