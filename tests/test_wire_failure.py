"""Error answers: GLM's codes and everybody's shapes -> one exception of ours."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_agent.errors import (
    AuthenticationError,
    ContentFiltered,
    ContextOverflow,
    ModelError,
    ModelStatusError,
    QuotaExhausted,
    RateLimited,
)
from glm_agent.wire.failure import EXCERPT_LIMIT, failure, is_failure, redact

RETRIED = {"1200", "1230", "1231", "1234", "1302", "1303", "1305", "1312"}
CLASSES: dict[type[ModelError], str] = {
    AuthenticationError: "1000 1001 1002 1003 1004 1005 1100 1110 1111 1112 1120 1121 1220",
    QuotaExhausted: "1113 1304 1308 1309 1310 1311 1313 1314 1315 1316 1317 1318 1319 1320 1321",
    RateLimited: "1302 1303 1305 1312",
    ModelStatusError: "1200 1210 1211 1212 1213 1214 1215 1221 1222 1230 1231 1234",
    ContextOverflow: "1261",
    ContentFiltered: "1300 1301",
}
CODES = [(code, kind) for kind, codes in CLASSES.items() for code in codes.split()]


def body(code: Any, message: str = "words") -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


@pytest.mark.parametrize(("code", "kind"), CODES)
@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_the_business_code_decides_whatever_the_status(code: str, kind: type[ModelError], status: int) -> None:
    for spelled in (code, int(code)):
        error = failure(status_code=status, body=body(spelled))
        assert type(error) is kind
        assert error.is_retryable is (code in RETRIED)
        assert code in str(error)
        if isinstance(error, ModelStatusError):
            assert (error.code, error.status_code) == (code, status)


STATUSES: list[tuple[int, type[ModelError], bool]] = [
    (400, ModelStatusError, False),
    (401, AuthenticationError, False),
    (402, QuotaExhausted, False),
    (403, AuthenticationError, False),
    (307, ModelStatusError, False),
    (404, ModelStatusError, False),
    (407, ModelStatusError, False),
    (408, ModelStatusError, True),
    (409, ModelStatusError, True),
    (413, ModelStatusError, False),
    (429, RateLimited, True),
    (434, ModelStatusError, False),
    (500, ModelStatusError, True),
    (501, ModelStatusError, False),
    (502, ModelStatusError, True),
    (503, ModelStatusError, True),
    (504, ModelStatusError, True),
    (529, ModelStatusError, True),
    (301, ModelStatusError, False),
]


@pytest.mark.parametrize(("status", "kind", "is_retryable"), STATUSES)
@pytest.mark.parametrize("text", [b"", b"<html><body>Bad</body></html>", b"null", b"[]", b'{"error":{}}', body("")])
def test_without_a_code_the_status_decides(
    status: int, kind: type[ModelError], is_retryable: bool, text: bytes
) -> None:
    error = failure(status_code=status, body=text)
    assert (type(error), error.is_retryable) == (kind, is_retryable)
    assert str(status) in str(error)


SHAPES: dict[str, tuple[bytes, str, str, str]] = {
    "GLM": (b'{"error":{"code":"1210","message":"bad"}}', "1210", "bad", ""),
    "unwrapped": (b'{"code":"1210","message":"bad"}', "1210", "bad", ""),
    "with request id": (b'{"error":{"code":"1210","message":"bad"},"request_id":"d6b1"}', "1210", "bad", "d6b1"),
    "Anthropic's": (b'{"type":"error","error":{"message":"bad","type":"1000"}}', "1000", "bad", ""),
    "OpenRouter's": (b'{"error":{"message":"bad","code":400,"metadata":{"provider_name":"Z.AI"}}}', "400", "bad", ""),
    "the console's": (b'{"code":1001,"msg":"bad","success":false}', "1001", "bad", ""),
    "an error that is text": (b'{"error":"bad"}', "", "bad", ""),
    "vLLM's": (b'{"object":"error","message":"bad","type":"BadRequestError","code":400}', "400", "bad", ""),
    "FastAPI's": (b'{"detail":"bad"}', "", "bad", ""),
    "unknown JSON": (b'{"reason":{"is":"bad"}}', "", "bad", ""),
    "a page": (b"<html><head><style>p{}</style></head><p>502 <b>bad</b> gateway</p></html>", "", "502 bad gateway", ""),
    "text in another language": ("余额不足".encode(), "", "余额不足", ""),
    "broken JSON": (b'{"error":{"code":"1302","message":"Rate limit', "", "Rate limit", ""),
    "no UTF-8": (b"\xff bad", "", "bad", ""),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_body_of_any_shape_gives_its_code_and_words(name: str) -> None:
    text, code, words, request_id = SHAPES[name]
    error = failure(status_code=400, body=text)
    assert isinstance(error, ModelStatusError)
    assert (error.code, error.request_id) == (code, request_id)
    assert words in str(error)


def test_a_redirect_says_that_another_address_is_to_be_given() -> None:
    said = str(failure(status_code=308, body=b""))
    assert "the base URL leads to another address" in said


def test_an_error_inside_a_stream_takes_its_code_for_the_status() -> None:
    assert failure(status_code=200, body=body("500")).is_retryable
    assert type(failure(status_code=200, body=body(401))) is AuthenticationError
    assert not failure(status_code=200, body=body(400)).is_retryable


def test_hosts_without_codes_say_in_words_that_the_window_is_full() -> None:
    words = "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens."
    assert type(failure(status_code=400, body=body(400, words))) is ContextOverflow
    assert type(failure(status_code=400, body=body("context_length_exceeded"))) is ContextOverflow


def test_the_message_says_what_happened_and_what_to_do() -> None:
    error = failure(status_code=429, body=body("1113", "no balance"), request_id="r1", retry_after_seconds=3)
    assert "'no balance'" in str(error)
    assert "coding:" in str(error)
    assert "r1" in str(error)
    assert isinstance(error, ModelStatusError)
    assert error.retry_after_seconds == 3


KEY = "0123456789abcdef.s3cr3tS3cr3t"


@pytest.mark.parametrize("said", [f"key {KEY} is wrong", "s3cr3tS3cr3t", f"Bearer {KEY}"])
def test_a_key_in_the_servers_words_is_never_repeated(said: str) -> None:
    for text in (body("1000", said), said.encode(), f"<p>{said}</p>".encode()):
        error = failure(status_code=401, body=text, secrets=(KEY,))
        assert "s3cr3t" not in f"{error!r}"
        assert "0123456789abcdef" not in f"{error!r}"


def test_a_long_page_is_cut() -> None:
    assert len(str(failure(status_code=500, body=b"x" * 10**6))) < EXCERPT_LIMIT + 300


def test_an_empty_key_redacts_nothing() -> None:
    assert redact("words", ("",)) == "words"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"error": {"code": "1"}}, True),
        ({"error": None, "choices": []}, False),
        ({"code": "1210", "message": "m"}, True),
        ({"code": 1, "choices": []}, False),
        ({}, False),
        ([], False),
        (None, False),
    ],
)
def test_a_failure_is_told_from_an_answer(value: Any, expected: bool) -> None:
    assert is_failure(value) is expected


@given(
    st.integers(100, 599),
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.text(max_size=5) | st.integers(),
        lambda x: st.dictionaries(
            st.sampled_from(["error", "code", "message", "type", "msg", "request_id"]), x, max_size=3
        ),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_at_all_becomes_an_exception_of_ours(status: int, text: bytes) -> None:
    assert isinstance(failure(status_code=status, body=text), ModelError)


@pytest.mark.parametrize(
    ("code", "words", "resets_at"),
    [
        ("1308", "Usage limit reached for 5 hour. Your limit will reset at 2026-11-23 03:04:05", "2026-11-23 03:04:05"),
        ("1310", "已达到每周/每月使用上限，您的限额将在 2026-11-30 00:00:00 重置。", "2026-11-30 00:00:00"),
        ("1316", "resets 2026-11-23T03:04", "2026-11-23 03:04"),
        ("1308", "the limit is reached", ""),
        ("1302", "slower, since 2026-11-23 03:04:05", ""),
    ],
)
def test_the_time_at_which_an_allowance_begins_anew_is_read_from_the_words(
    code: str, words: str, resets_at: str
) -> None:
    error = failure(status_code=429, body={"error": {"code": code, "message": words}})
    assert isinstance(error, ModelStatusError)
    assert error.resets_at == resets_at
