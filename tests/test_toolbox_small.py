"""Time, thoughts, lists and the web: the toolbox's tools that touch no file."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from glm_agent_tools import clock, think, todo, web
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import ConfigurationError, ToolContext, ToolError
from glm_agent.messages import Event, ToolCall, ToolProgress
from glm_agent.registry import ToolRegistry
from glm_agent.simulate import SimulatorServer

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from threaded import threaded


def context(deps: Any = None) -> ToolContext:
    return ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=deps)


# -- time


def test_the_time_now_is_told_for_a_zone() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    told = clock.current_time("Asia/Shanghai")
    moment = datetime.fromisoformat(told["time"])
    assert before <= moment <= datetime.now(UTC)
    assert moment.utcoffset() == timedelta(hours=8)
    assert told["unix_seconds"] == int(moment.timestamp())


def test_a_time_is_told_elsewhere_and_later() -> None:
    told = clock.convert_time("2026-11-22T14:30", "Europe/Berlin", "Asia/Tokyo")
    assert (told["time"], told["weekday"], told["week"]) == ("2026-11-22T22:30:00+09:00", "Sunday", 47)
    # The night on which clocks go forward: the same time a calendar day later, and 24 hours later.
    day = clock.convert_time("2026-03-28T12:00", "Europe/Berlin", "Europe/Berlin", add_days=1)
    hours = clock.convert_time("2026-03-28T12:00", "Europe/Berlin", "Europe/Berlin", add_minutes=24 * 60)
    assert (day["time"], hours["time"]) == ("2026-03-29T12:00:00+02:00", "2026-03-29T13:00:00+02:00")
    assert clock.convert_time("2026-11-22T00:00:00Z", "Asia/Tokyo")["time"] == "2026-11-22T00:00:00+00:00"


def test_days_between_are_counted() -> None:
    span = clock.time_between("2026-11-20", "2026-11-30T12:00")
    assert (span["days"], span["calendar_days"], span["weekdays"]) == (10.5, 10, 6)
    assert clock.time_between("2026-11-30", "2026-11-20")["calendar_days"] == -10


@given(st.dates(), st.integers(0, 900))
def test_weekdays_are_those_of_the_calendar(first: date, days: int) -> None:
    if first.toordinal() + days > date.max.toordinal():
        return
    counted = sum((first + timedelta(number)).weekday() < 5 for number in range(days))
    last = first + timedelta(days)
    assert clock.time_between(first.isoformat(), last.isoformat())["weekdays"] == counted
    assert clock.time_between(last.isoformat(), first.isoformat())["weekdays"] == -counted


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "", "\0"])
def test_what_is_no_zone_is_said(zone: str) -> None:
    with pytest.raises(ToolError, match="there is no time zone"):
        clock.current_time(zone)


def test_what_is_no_time_is_said() -> None:
    with pytest.raises(ToolError, match="'tomorrow' is no time: write one such as"):
        clock.convert_time("tomorrow")
    with pytest.raises(ToolError, match="outside the years"):
        clock.convert_time("9999-12-31", add_days=2)


# -- thoughts and lists


def test_a_thought_leaves_no_trace() -> None:
    assert think.think("If the file is gone, ask.") == "noted: go on"
    assert think.think.spec.effect == "read"


def test_a_list_is_shown_and_its_progress_told() -> None:
    events: list[Event] = []
    asked = context()
    asked.emit = events.append
    todos: list[todo.Todo] = [
        {"task": "read\nit", "state": "done"},
        {"task": "write it", "state": "doing"},
        {"task": "forget it", "state": "dropped"},
        {"task": "send it", "state": "open"},
    ]
    text = todo.write_todos(asked, todos)
    assert text.split("\n") == ["[x] read it", "[>] write it", "[-] forget it", "[ ] send it", "[2 of 4 done]"]
    (event,) = events
    assert isinstance(event, ToolProgress)
    assert (event.text, event.done, event.total) == ("write it", 2, 4)
    with pytest.raises(ToolError, match="2 things are 'doing' at once"):
        todo.write_todos(asked, [{"task": "a", "state": "doing"}, {"task": "b", "state": "doing"}])


@pytest.mark.anyio
async def test_a_list_with_another_state_is_refused_before_it_is_kept() -> None:
    call = ToolCall(id="1", name="write_todos", arguments='{"todos": [{"task": "a", "state": "finished"}]}')
    result = await ToolRegistry([todo.write_todos]).call(call, ToolContext(call=call))
    assert result.is_error
    assert "state" in result.content


# -- the web


class Service:
    """Stands for GLM's search and reader."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.answer: tuple[int, Any] = (200, {})
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.asked.append((self.path, self.headers["authorization"], body))
                status, answer = service.answer
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/api/paas/v4/"


@pytest.fixture
def service() -> Generator[Service]:
    service = Service()
    with threaded(service.server):
        yield service


@pytest.fixture
def deps(service: Service) -> web.WebService:
    return web.WebService(api_key="k.ey", base_url=service.url)


@pytest.mark.anyio
async def test_the_web_is_searched_through_the_service(service: Service, deps: web.WebService) -> None:
    found = {"title": "T", "link": "https://a.example/x", "media": "A", "publish_date": "2026-11-01", "content": "text"}
    service.answer = (200, {"search_result": [found, "odd", {}, {"title": None}]})
    with anyio.fail_after(60):
        hits = await web.web_search(context(deps), "glm " * 40, count=2, site="a.example", recency="oneWeek")
    assert hits[0] == {"title": "T", "url": "https://a.example/x", "site": "A", "date": "2026-11-01", "text": "text"}
    assert len(hits) == 2
    path, key, body = service.asked[0]
    assert (path, key) == ("/api/paas/v4/web_search", "Bearer k.ey")
    assert len(body.pop("search_query")) == 70
    assert body == {
        "search_engine": "search-prime",
        "search_intent": False,
        "count": 2,
        "search_recency_filter": "oneWeek",
        "search_domain_filter": "a.example",
    }


@pytest.mark.anyio
async def test_a_page_is_read_through_the_service(service: Service, deps: web.WebService) -> None:
    page = {"title": "T", "content": "# Text", "url": "https://a.example/end", "description": None}
    service.answer = (200, {"reader_result": page})
    with anyio.fail_after(60):
        read = await web.read_page(context(deps), "https://a.example/")
    assert read == {"url": "https://a.example/end", "title": "T", "description": "", "text": "# Text"}
    assert service.asked[0][0] == "/api/paas/v4/reader"
    assert service.asked[0][2]["return_format"] == "markdown"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, {"error": {"code": "1000", "message": "no such key"}}, r"refused \(status 401\): 1000 no such key"),
        (200, {"error": {"code": "1702", "message": "empty"}}, "1702 empty"),
        (500, b"<html>", "status 500 and no JSON object"),
        (200, [], "no JSON object"),
        (200, {}, "returned no page"),
    ],
)
async def test_what_the_service_refuses_is_said(
    service: Service, deps: web.WebService, status: int, answer: Any, message: str
) -> None:
    service.answer = (status, answer)
    with anyio.fail_after(60), pytest.raises(ToolError, match=message):
        await web.read_page(context(deps), "https://a.example/")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    ["http://localhost/", "http://127.0.0.1/x", "http://[::1]/", "http://10.0.0.1:80/", "http://router.lan/", "file:///etc/x",
     "http://intranet/", "https://a:b@a.example/", "http://0x7f.0.0.1/", "http://2130706433/", "http://[::1", "", "x"],
)  # fmt: skip
async def test_addresses_of_ones_own_network_are_told_to_nobody(
    service: Service, deps: web.WebService, url: str
) -> None:
    with pytest.raises(ToolError):
        await web.read_page(context(deps), url)
    assert service.asked == []


@pytest.mark.anyio
async def test_the_key_says_which_service_is_asked(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZAI_API_KEY", "GLM_API_KEY", "ZHIPUAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="set ZAI_API_KEY or ZHIPUAI_API_KEY"):
        await web.web_search(context(), "x")
    monkeypatch.setenv("ZHIPUAI_API_KEY", "from.mainland")
    monkeypatch.setenv("ZHIPUAI_BASE_URL", service.url)
    with anyio.fail_after(60):
        assert await web.web_search(context(), "x") == []
    assert (service.asked[0][1], service.asked[0][2]["search_engine"]) == ("Bearer from.mainland", "search_std")
    assert "k.ey" not in repr(web.WebService(api_key="k.ey"))
    with pytest.raises(ConfigurationError, match="the key of the web service") as raised:
        web.WebService(api_key="k.ey\n")
    assert "k.ey" not in str(raised.value)


@pytest.mark.anyio
async def test_the_simulated_service_answers_too() -> None:
    with SimulatorServer("directive") as server:
        deps = web.WebService(api_key=server.api_key, base_url=server.base_url)
        with anyio.fail_after(60):
            hits = await web.web_search(context(deps), "glm", count=3, site="docs.z.ai")
            read = await web.read_page(context(deps), hits[0]["url"])
        refused = web.WebService(api_key=server.api_key, base_url=server.base_url, engine="x")
        with anyio.fail_after(60), pytest.raises(ToolError, match=r"refused \(status 400\)"):
            await web.web_search(context(refused), "glm")
    assert [hit["url"] for hit in hits] == [f"https://docs.z.ai/{number}" for number in (1, 2, 3)]
    assert read["url"] == "https://docs.z.ai/1"
    assert read["text"]
