"""The registry: functions as tools, whatever they do, and whatever comes back."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import AsyncGenerator, Callable, Generator
from types import MappingProxyType
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from glm_agent.errors import ConfigurationError, ToolError
from glm_agent.messages import Event, ImagePart, ToolCall, ToolProgress, ToolResult, ToolSpec
from glm_agent.registry import FunctionTool, Tool, ToolContext, ToolRegistry, tool
from glm_agent.registry.failure import redact
from glm_agent.registry.output import shorten, to_result

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


def called(name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(id="call-1", name=name, arguments=arguments)


async def run(item: Any, arguments: str = "{}", *, registry: ToolRegistry | None = None, **context: Any) -> ToolResult:
    """Call the one tool of a registry, within a bound."""
    registry = registry or ToolRegistry([item])
    name = next(iter(registry)).spec.name
    call = called(name, arguments)
    with anyio.fail_after(60):
        return await registry.call(call, ToolContext(call=call, **context))


# -- the decorator ------------------------------------------------------------------------------------


def test_a_decorated_function_stays_the_function():
    @tool
    def stock(sku: str) -> int:
        """Units in stock."""
        return len(sku)

    assert stock("abc") == 3
    assert (stock.__name__, stock.__doc__) == ("stock", "Units in stock.")
    assert isinstance(stock, FunctionTool)
    assert stock.spec.name == "stock"


def test_options_of_the_decorator_reach_the_tool():
    @tool(name="other", description="Said.", read_only=True, open_world=True, needs_approval=True, timeout_seconds=3)
    def stock(sku: str) -> int:
        return 1

    spec = stock.spec
    assert (spec.name, spec.description, spec.effect) == ("other", "Said.", "read")
    assert spec.is_untrusted
    assert spec.needs_approval
    assert stock.timeout_seconds == 3


@pytest.mark.parametrize(
    ("options", "effect"),
    [
        ({}, "write"),
        ({"read_only": True}, "read"),
        ({"idempotent": True}, "idempotent"),
        ({"read_only": True, "idempotent": True}, "read"),
        ({"destructive": True}, "write"),
        ({"effect": "idempotent"}, "idempotent"),
    ],
)
def test_the_effect_follows_from_the_hints(options: Any, effect: str):
    @tool(**options)
    def f() -> None: ...

    assert f.spec.effect == effect


@pytest.mark.parametrize(
    "options",
    [{"read_only": True, "destructive": True}, {"effect": "write", "read_only": True}, {"retries": 2}],
)
def test_hints_that_contradict_are_refused(options: Any):
    with pytest.raises(ConfigurationError):

        @tool(**options)
        def f() -> None: ...


async def test_a_method_is_a_tool_of_its_object():
    class Shop:
        def __init__(self, units: int) -> None:
            self.units = units

        @tool
        def stock(self, sku: str) -> int:
            """Units in stock."""
            return self.units

        @staticmethod
        @tool
        def double(n: int) -> int:
            return 2 * n

    few, many = Shop(1), Shop(100)
    assert few.stock("a") == 1
    assert few.stock is few.stock
    assert (await run(many.stock, '{"sku": "a"}')).content == "100"
    assert (await run(Shop.double, '{"n": 2}')).content == "4"


def test_two_tools_of_one_name_are_refused_with_both_sources():
    def here() -> None: ...

    with pytest.raises(ConfigurationError, match=r"named 'here'.*locals>\.here.*locals>\.here"):
        ToolRegistry([here, tool(here)])


def test_what_is_no_tool_is_refused():
    with pytest.raises(ConfigurationError, match="'weather' is no tool"):
        ToolRegistry(["weather"])  # type: ignore[list-item]


# -- running ------------------------------------------------------------------------------------------


def plain(a: int, b: int = 2) -> int:
    return a + b


async def coroutine(a: int, b: int = 2) -> int:
    await anyio.lowlevel.checkpoint()
    return a + b


def positional(a: int, /, b: int = 2, *, c: int = 0) -> int:
    return a + b + c


def generator(a: int, b: int = 2) -> Generator[str, None, int]:
    yield "one"
    return a + b


def yielding(a: int, b: int = 2) -> Generator[Any, None, None]:
    yield "one"
    yield a + b


async def async_generator(a: int, b: int = 2) -> AsyncGenerator[Any, None]:
    yield "one"
    yield a + b


class Callable_:
    async def __call__(self, a: int, b: int = 2) -> int:
        return a + b


def returns_awaitable(a: int, b: int = 2) -> Any:
    return coroutine(a, b)


def returns_generator(a: int, b: int = 2) -> Any:
    return generator(a, b)


KINDS = [plain, coroutine, positional, generator, yielding, async_generator, Callable_(), returns_awaitable,
         returns_generator, functools.partial(coroutine, b=2), functools.partial(plain, b=2)]  # fmt: skip


@pytest.mark.parametrize("function", KINDS, ids=lambda function: type(function).__name__)
async def test_every_kind_of_function_runs(function: Callable[..., Any]):
    result = await run(function, '{"a": "3"}')
    assert result == ToolResult(call_id="call-1", name=result.name, content="5")


@pytest.mark.parametrize("function", [generator, yielding, async_generator])
async def test_yielded_values_are_progress(function: Callable[..., Any]):
    events: list[Event] = []
    await run(function, '{"a": 1}', emit=events.append)
    assert events[0] == ToolProgress(call_id="call-1", name=function.__name__, text="one")


async def test_a_synchronous_function_runs_in_a_thread_with_the_callers_context_variables():
    variable = contextvars.ContextVar("variable", default="unset")

    def f() -> str:
        return f"{variable.get()} {threading.current_thread() is not threading.main_thread()}"

    variable.set("set")
    assert (await run(f)).content == "set True"


async def test_a_synchronous_function_may_run_an_event_loop_of_its_own():
    def f() -> str:
        return anyio.run(coroutine, 1, 1)

    assert (await run(f)).content == "2"


async def test_blocking_functions_run_at_once():
    together = threading.Barrier(30)

    def f() -> None:
        together.wait(timeout=60)

    registry = ToolRegistry([f])
    results: list[ToolResult] = []

    async def one() -> None:
        results.append(await run(None, registry=registry))

    async with anyio.create_task_group() as tasks:
        for _ in range(30):
            tasks.start_soon(one)
    assert not any(result.is_error for result in results)


async def test_the_context_is_filled_in():
    def f(a: int, context: ToolContext) -> str:
        context.progress("half", done=1, total=2)
        return f"{context.deps} {context.call.id}"

    events: list[Event] = []
    assert (await run(f, '{"a": 1}', deps="deps", emit=events.append)).content == "deps call-1"
    assert events == [ToolProgress(call_id="call-1", name="f", text="half", done=1, total=2)]


async def test_arguments_that_do_not_fit_are_an_error_for_the_model_and_nothing_runs():
    def f(a: int) -> None:
        raise AssertionError

    result = await run(f, '{"a": "x"}')
    assert result.is_error
    assert result.content.startswith('arguments.a: got "x" (string), wanted integer.')


async def test_broken_arguments_are_read_for_reading_tools_only():
    def f(a: int) -> int:
        return a

    assert (await run(tool(read_only=True)(f), "{'a': 1,}")).content == "1"
    assert (await run(tool(idempotent=True)(f), "{'a': 1,}")).is_error
    assert (await run(f, "{'a': 1,}")).is_error


async def test_markup_in_the_name_is_recovered_for_reading_tools_only():
    registry = ToolRegistry([tool(read_only=True)(plain), coroutine])
    for name, is_error in (("plain", False), ("coroutine", True)):
        call = called(f"{name}<arg_key>a</arg_key><arg_value>3</arg_value>", "")
        result = await registry.call(call, ToolContext(call=call))
        assert result.is_error == is_error
        assert (await registry.permit(call, ToolContext(call=call)) is None) != is_error
        assert result.call_id == "call-1"


async def test_an_unknown_name_lists_the_closest_first():
    def make(name: str) -> FunctionTool[..., Any]:
        return tool(name=name)(lambda: None)

    registry = ToolRegistry([make(f"tool_{n}") for n in range(300)] + [make("get_weather")])
    call = called("get_wether" + "x" * 0)
    for result in (
        await registry.call(call, ToolContext(call=call)),
        await registry.permit(call, ToolContext(call=call)),
    ):
        assert isinstance(result, ToolResult)
        assert result.is_error
        assert "Did you mean 'get_weather'? The tools are: get_weather, tool_0," in result.content
        assert "and 251 more" in result.content
    assert len((await registry.call(called("x" * 10**6), ToolContext(call=call))).content) < 2_000


async def test_specs_stand_in_the_order_given():
    registry = ToolRegistry([yielding, plain, coroutine])
    assert [spec.name for spec in await registry.specs()] == ["yielding", "plain", "coroutine"]
    assert registry.get("plain") is list(registry)[1]


async def test_results_of_an_untrusted_tool_are_untrusted_errors_too():
    assert (await run(tool(untrusted=True)(plain), '{"a": 1}')).is_untrusted
    assert (await run(tool(untrusted=True)(plain), "{}")).is_untrusted
    assert not (await run(plain, '{"a": 1}')).is_untrusted


async def test_any_object_with_a_spec_and_run_is_a_tool():
    class Remote(Tool):
        spec = ToolSpec(
            name="remote", description="", parameters={"type": "object", "properties": {}}, is_untrusted=True
        )
        max_output_tokens = 100

        async def run(self, call: ToolCall, context: ToolContext) -> ToolResult:
            return ToolResult(call_id="", content=call.arguments * 1_000)

    result = await run(Remote(), '{"x": 1}')
    assert (result.call_id, result.name, result.is_untrusted) == ("call-1", "remote", True)
    assert len(result.content) <= 400


# -- failures -----------------------------------------------------------------------------------------


async def test_a_tool_error_is_told_word_for_word():
    def f() -> None:
        raise ToolError("Ask for the article number first.")

    result = await run(f)
    assert (result.content, result.is_error) == ("Ask for the article number first.", True)


async def _in_a_group() -> None:
    async def fail() -> None:
        raise KeyError("inner")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail)


def failing(error: BaseException) -> Callable[[], None]:
    def f() -> None:
        raise error

    return f


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (failing(ValueError("bad")), "ValueError: bad"),
        (failing(ValueError()), "ValueError"),
        (failing(SystemExit(0)), "SystemExit: 0"),
        (failing(KeyboardInterrupt()), "RuntimeError: the function raised KeyboardInterrupt"),
        (failing(GeneratorExit()), "RuntimeError: the function raised GeneratorExit"),
        (failing(StopIteration(3)), "RuntimeError: coroutine raised StopIteration"),
        (failing(TimeoutError("own")), "TimeoutError: own"),
        (failing(Rude()), "Rude: (its message cannot be shown)"),
        (failing(ValueError("\ud800")), "ValueError: ?"),
        (_in_a_group, "KeyError: 'inner'"),
    ],
)
async def test_any_other_exception_is_told_by_type_and_message(function: Callable[..., Any], said: str):
    function.__name__ = "f"
    result = await run(function)
    assert (result.content, result.is_error) == (said, True)


async def test_an_asynchronous_tool_that_exits_does_not_end_the_process():
    async def f() -> None:
        sys.exit(0)

    assert (await run(f)).content == "SystemExit: 0"


async def test_a_long_message_is_cut_and_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret")
    monkeypatch.setenv("SHORT_TOKEN", "abc")

    def f() -> None:
        raise ValueError("sk-very-secret given-too abc " + "x" * 10**6)

    registry = ToolRegistry([f], secrets=["given-too"])
    result = await run(f, registry=registry)
    assert result.content.startswith("ValueError: [hidden] [hidden] abc xxx")
    assert len(result.content) == 2_000


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("cannot reach postgresql://app:hunter2@db/app", "cannot reach postgresql://app:[hidden]@db/app"),
        ("redis://:hunter2@cache:6379/0 is down", "redis://:[hidden]@cache:6379/0 is down"),
        ("GET https://x/?api_key=hunter2&page=2 failed", "GET https://x/?api_key=[hidden]&page=2 failed"),
        ("dsn: host=db password=hunter2 user=app", "dsn: host=db password=[hidden] user=app"),
        ("sent {'Authorization': 'Bearer abc.def-123'}", "sent {'Authorization': 'Bearer [hidden]'}"),
        ("the bearer certificate of https://x:8080/@me is basic knowledge", ""),
        ("password is missing; token= and secret: wrong", ""),
    ],
)
def test_passwords_are_hidden_where_they_are_written_as_such(said: str, shown: str) -> None:
    assert redact(said) == (shown or said)


async def test_a_tool_error_without_a_word_says_that() -> None:
    assert (await run(failing(ToolError("")))).content == "the tool failed, and did not say why"


async def test_messages_are_kept_back_when_asked():
    result = await run(None, registry=ToolRegistry([failing(ValueError("internal"))], expose_errors=False))
    assert "internal" not in result.content
    assert result.is_error


async def _interrupted() -> None:
    raise KeyboardInterrupt


async def test_an_interrupt_from_the_keyboard_is_raised():
    with pytest.raises(KeyboardInterrupt):
        await run(_interrupted)


def test_an_interrupt_that_no_keyboard_can_have_sent_is_an_error_of_the_tool():
    results: list[ToolResult] = []
    elsewhere = threading.Thread(target=lambda: results.append(anyio.run(run, _interrupted)), daemon=True)
    elsewhere.start()
    elsewhere.join(60)
    assert [(result.content, result.is_error) for result in results] == [("the tool raised KeyboardInterrupt", True)]


async def test_a_cancellation_that_nobody_asked_for_is_an_error_of_the_tool(anyio_backend: str):
    async def f() -> None:
        raise asyncio.CancelledError

    result = await run(f)
    assert (result.content, result.is_error) == ("the tool's own work was cancelled from within", True)


async def test_reading_tools_are_repeated_as_often_as_allowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("glm_agent.registry.function._RETRY_SECONDS", 0)
    attempts: list[int] = []

    @tool(read_only=True, retries=2)
    def f(good: int, error: str) -> int:
        attempts.append(1)
        if len(attempts) >= good:
            return len(attempts)
        raise {"ToolError": ToolError, "OSError": OSError}[error]("failed")

    for good, error, expected, count in (
        (3, "OSError", "3", 3),
        (4, "OSError", "OSError: failed", 3),
        (4, "ToolError", "failed", 1),
    ):
        attempts.clear()
        assert (await run(f, json.dumps({"good": good, "error": error}))).content == expected
        assert len(attempts) == count


# -- time ---------------------------------------------------------------------------------------------


async def test_a_hung_function_is_given_up_and_named():
    release = threading.Event()
    seen: list[ToolContext] = []

    @tool(timeout_seconds=0.5)
    def f(context: ToolContext) -> None:
        seen.append(context)
        release.wait(timeout=60)

    registry = ToolRegistry([f, plain])
    result = await run(f, registry=registry)
    assert result.content.startswith("timed out after 0.5 seconds. It may or may not have taken effect")
    assert result.is_error
    assert seen[0].cancelled.is_set()
    assert registry.hung == ("f",)
    release.set()
    with anyio.fail_after(60):
        while registry.hung:
            await anyio.lowlevel.checkpoint()


async def test_a_slow_coroutine_is_ended():
    ended = anyio.Event()

    @tool(timeout_seconds=0.2, read_only=True)
    async def f() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    assert (await run(f)).content == "timed out after 0.2 seconds"
    assert ended.is_set()


async def test_a_coroutine_that_makes_something_else_of_being_ended_has_timed_out_too():
    @tool(timeout_seconds=0.05, read_only=True)
    async def f() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError("lost")

    assert (await run(f)).content == "timed out after 0.05 seconds"


async def test_cancellation_is_not_held_by_a_blocking_function():
    started, release = threading.Event(), threading.Event()

    def f() -> None:
        started.set()
        release.wait(timeout=60)

    registry = ToolRegistry([f])
    with anyio.fail_after(60), anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(functools.partial(run, f, registry=registry))
            while not started.is_set():
                await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert registry.hung == ("f",)
    release.set()


async def test_a_given_up_generator_stops_at_its_next_value():
    release, closed = threading.Event(), threading.Event()
    late: list[int] = []

    @tool(timeout_seconds=0.5)
    def f() -> Generator[int, None, None]:
        try:
            yield 1
            release.wait(timeout=60)
            yield 2
            late.append(3)
        finally:
            closed.set()

    await run(f)
    release.set()
    assert await anyio.to_thread.run_sync(closed.wait, 60)
    assert late == []


HUNG = """
import sys, time, anyio
from glm_agent.messages import ToolCall
from glm_agent.registry import ToolContext, ToolRegistry, tool

@tool(timeout_seconds=0.1)
def hang() -> None:
    while True:
        time.sleep(1)

async def main():
    call = ToolCall(id="1", name="hang", arguments="{}")
    registry = ToolRegistry([hang])
    result = await registry.call(call, ToolContext(call=call))
    print(result.is_error, registry.hung)

anyio.run(main, backend=sys.argv[1])
"""


def test_a_hung_function_does_not_hold_the_exit_of_the_process(anyio_backend: str):
    done = subprocess.run(
        [sys.executable, "-c", HUNG, anyio_backend], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True ('hang',)", "")


# -- calls that another process began -----------------------------------------------------------------


async def test_a_begun_write_is_not_run_again():
    def f(a: int) -> None:
        raise AssertionError

    result = await run(f, '{"a": 1}', was_started=True)
    assert result.is_error
    assert result.content.startswith("unknown outcome")


async def test_a_begun_read_is_run_again():
    assert (await run(tool(read_only=True)(plain), '{"a": 1}', was_started=True)).content == "3"
    assert (await run(tool(idempotent=True)(plain), '{"a": 1}', was_started=True)).content == "3"


@pytest.mark.parametrize("is_async", [False, True])
async def test_the_reconcile_hook_says_what_came_of_it(is_async: bool):
    def sync_hook(a: int, context: ToolContext) -> str | None:
        return f"paid {a} under {context.idempotency_key}" if a > 1 else None

    async def async_hook(**known: Any) -> str | None:
        return sync_hook(known["a"], known["context"])

    @tool(reconcile=async_hook if is_async else sync_hook)
    def pay(a: int, b: int = 0) -> None:
        raise AssertionError

    found = await run(pay, '{"a": 2, "b": 1}', was_started=True, idempotency_key="k")
    assert (found.content, found.is_error) == ("paid 2 under k", False)
    assert (await run(pay, '{"a": 1}', was_started=True)).content.startswith("unknown outcome")


async def test_a_reconcile_hook_that_fails_leaves_the_outcome_unknown():
    def hook(a: int) -> None:
        raise OSError("no network")

    @tool(reconcile=hook)
    def pay(a: int) -> None: ...

    result = await run(pay, '{"a": 1}', was_started=True)
    assert result.content.startswith("unknown outcome")
    assert "OSError: no network" in result.content


async def test_whether_the_outcome_stayed_unknown_is_said_beside_the_result():
    async def outcome(hook: Any, **known: Any) -> bool:
        @tool(reconcile=hook, timeout_seconds=0.01 if hook is hangs else 60)
        async def pay(a: int) -> str:
            return "paid"

        context = ToolContext(call=ToolCall(id="c", name="pay", arguments='{"a": 1}'), **known)
        await ToolRegistry([pay]).call(context.call, context)
        return context.is_unknown

    def fails(a: int) -> None:
        raise OSError

    def says(a: int) -> None:
        raise ToolError("it was refused")

    async def hangs(a: int) -> None:
        await anyio.sleep_forever()

    def knows(a: int) -> str:
        return "paid"

    hooks = {None: True, fails: True, hangs: True, says: False, knows: False}
    assert [await outcome(hook, was_started=True) for hook in hooks] == list(hooks.values())
    assert not await outcome(None)


# -- what comes back ----------------------------------------------------------------------------------


class Model(BaseModel):
    n: int


@dataclasses.dataclass
class Data:
    m: Model
    raw: bytes = b"x"


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError


class Array:
    """As NumPy's: no sequence, but it can say what it holds."""

    def tolist(self) -> list[list[int]]:
        return [[1], [2]]


class Secretive(BaseModel):
    key: SecretStr = SecretStr("k")
    raw: bytes = b"\xff"


circle: list[Any] = [1]
circle.append(circle)

IMAGE = ImagePart(url="data:image/png;base64,AA==")


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        ("", ""),
        (None, "done: the tool returned nothing"),
        (3, "3"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
        (Model(n=1), '{"n":1}'),
        (Data(m=Model(n=1)), '{"m":{"n":1},"raw":"x"}'),
        ({3}, "[3]"),
        (float("nan"), '"NaN"'),
        ({"x": float("inf")}, '{"x":"Infinity"}'),
        (b"text", "text"),
        (b"\xff\x00", "base64:/wA="),
        ({"raw": b"\xff"}, '{"raw":"_w=="}'),
        ("a\ud800b", "a?b"),
        ({"a": "\ud800"}, '{"a": "?"}'),
        (circle, '[1,"..."]'),
        (Hostile(), '"<Hostile that cannot be shown>"'),
        (range(3), "[0,1,2]"),
        (MappingProxyType({"a": range(1)}), '{"a":[0]}'),
        (Array(), "[[1],[2]]"),
        ({"count": Array()}, '{"count":[[1],[2]]}'),
        (Secretive(), '{"key": "**********", "raw": "base64:/w=="}'),
        ((n for n in range(3)), "[0,1,2]"),
        ("ü" * 10, "ü" * 10),
    ],
)
def test_any_value_becomes_text(value: Any, content: str):
    result = to_result(value, called("f"), max_tokens=25_000)
    assert (result.content, result.attachments) == (content, ())


def test_an_object_without_json_form_is_shown_as_python_shows_it():
    assert "object object at" in to_result(object(), called("f"), max_tokens=100).content


@pytest.mark.parametrize(
    ("value", "content", "count"),
    [
        (IMAGE, "1 attached", 1),
        (("A chart.", IMAGE), "A chart.", 1),
        (["A", "B", IMAGE, IMAGE], "A\nB", 2),
        (({"n": 1}, [IMAGE, IMAGE]), '{"n":1}', 2),
        ([IMAGE, IMAGE], "2 attached", 2),
    ],
)
def test_pictures_become_attachments(value: Any, content: str, count: int):
    result = to_result(value, called("f"), max_tokens=25_000)
    assert (result.content, result.attachments) == (content, (IMAGE,) * count)


async def test_a_tool_may_return_a_result_of_its_own():
    def f() -> ToolResult:
        return ToolResult(call_id="", content="no", is_error=True)

    assert await run(f) == ToolResult(call_id="call-1", name="f", content="no", is_error=True)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=2_000) | st.binary(max_size=2_000), st.integers(0, 300))
def test_shortened_text_keeps_its_bound_and_stays_the_same(text: str | bytes, max_tokens: int):
    limit = max(4 * max_tokens, 200)
    short = shorten(text, max_tokens=max_tokens)
    if isinstance(text, str):
        assert len(short.encode()) <= limit
        assert shorten(short, max_tokens=max_tokens) == short
        whole = text.encode(errors="replace").decode()
        assert short == whole or ("left out …" in short and short[:20] == whole[:20] and short[-10:] == whole[-10:])


def test_of_chinese_text_fewer_characters_fit():
    short = shorten("好" * 1_000, max_tokens=100)
    assert len(short.encode()) <= 400
    assert short.startswith("好" * 40)
    assert short.endswith("好" * 40)
    assert "1,000 characters, 900 left out" in short


def test_a_secret_within_another_hides_nothing_less():
    assert redact("x secret-and-more y", secrets=["secret-and", "secret-and-more"]) == "x [hidden] y"


async def test_a_huge_result_is_cut_without_being_copied():
    huge = "x" * 50_000_000

    def f() -> str:
        return huge

    registry = ToolRegistry([f])
    await run(f, registry=registry)
    tracemalloc.start()
    result = await run(f, registry=registry)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert len(result.content) <= 100_000
    assert "50,000,000 characters" in result.content


@settings(deadline=None)
@given(st.lists(st.text(min_size=8, max_size=20), min_size=1, max_size=5), st.text())
def test_no_secret_survives(secrets: list[str], text: str):
    clean = redact("|".join([text, *secrets]), secrets=secrets)
    assert not any(secret in clean.replace("[hidden]", "\0") for secret in secrets)


def test_importing_the_registry_costs_no_heavy_imports():
    heavy = "{'griffe', 'mcp', 'rich', 'typer', 'yaml', 'trio', 'httpx2'}"
    code = f"import sys, glm_agent.registry; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "[]"


# -- what the decorator takes


class Counter:
    start = 10

    @tool
    def up(self: Counter, by: int) -> int:
        """Count up."""
        return self.start + by

    @tool
    @classmethod
    def begin(cls, by: int) -> int:
        """Where to begin."""
        return cls.start + by

    @tool
    @staticmethod
    def twice(self_made: int) -> int:
        """Twice as much."""
        return self_made * 2


class Late(Counter):
    start = 20


async def test_methods_of_every_kind_are_tools() -> None:
    assert (await run(Late().up, '{"by": 1}')).content == "21"
    assert (await run(Late.begin, '{"by": 2}')).content == "22"
    assert (await run(Counter.begin, '{"by": 2}')).content == "12"
    assert (await run(Counter.twice, '{"self_made": 3}')).content == "6"
    with pytest.raises(ConfigurationError, match=r"'Counter\.up' is a method, whose tool is that of an object: give C"):
        ToolRegistry([Counter.up])


def test_a_decorator_in_the_wrong_place_says_where_it_belongs() -> None:
    def build(cls, by: int) -> int:  # type: ignore[no-untyped-def]
        return by

    with pytest.raises(ConfigurationError, match="takes the class: write @tool above @classmethod"):
        tool(build)
    with pytest.raises(ConfigurationError, match=r"write @tool\(name='stock'\)"):
        tool("stock")  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"timeout_seconds": 0}, "timeout_seconds=0: it takes seconds, more than 0, or None"),
        ({"timeout_seconds": "9"}, "timeout_seconds='9': it takes seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds=nan"),
        ({"max_output_tokens": 0}, "max_output_tokens=0: it takes a number from 1 on"),
        ({"retries": -1, "read_only": True}, "retries=-1: it takes a number from 0 on"),
        ({"reconcile": 5}, "reconcile=5: it takes a function"),
        ({"effect": "reads"}, "effect='reads': write 'read', 'idempotent' or 'write'"),
    ],
)
def test_an_option_that_cannot_be_is_said_where_the_tool_is_made(option: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot have {said}"):
        tool(**option)(failing(ValueError()))


async def test_a_context_may_say_what_its_deps_are() -> None:
    def shelf(context: ToolContext[dict[str, int]], other: ToolContext[Any] | None, sku: str) -> int:
        assert other is context
        return context.deps[sku]

    registry = ToolRegistry([shelf])
    assert [*(await registry.specs())[0].parameters["properties"]] == ["sku"]
    call = called("shelf", '{"sku": "A"}')
    assert (await registry.call(call, ToolContext(call=call, deps={"A": 4}))).content == "4"
