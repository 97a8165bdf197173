"""Authorization, against a real server that wants tokens and the authorization server it names."""

import json
import stat
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import anyio
import httpx2
import pytest

from glm_agent.errors import ConfigurationError, MCPServerError
from glm_agent.mcp.authorization import OAuth
from glm_agent.mcp.callbacks import Callbacks
from glm_agent.mcp.config import ServerConfig
from glm_agent.mcp.connect import authorization
from glm_agent.mcp.failure import Refused
from glm_agent.mcp.login import LoopbackLogin
from glm_agent.mcp.server import ServerConnection
from glm_agent.mcp.sources import read_servers
from glm_agent.mcp.token_store import FileTokens, MemoryTokens, TokenStore, key
from glm_agent.mcp.url_policy import UrlPolicy

sys.path.insert(0, str(Path(__file__).parent / "servers"))
from authorization import guarded_server


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return request.param


class Browser:
    """Somebody who agrees; counts how often they were asked."""

    redirect_uri = "http://127.0.0.1:9/callback"

    def __init__(self) -> None:
        self.asked = 0

    async def authorize(self, url: str) -> Mapping[str, str]:
        self.asked += 1
        async with httpx2.AsyncClient() as client:
            response = await client.get(url)
        return dict(parse_qsl(urlsplit(response.headers["location"]).query))


def connection(
    url: str, tokens: TokenStore, login: Browser | None = None, oauth: OAuth | None = None
) -> ServerConnection:
    config = ServerConfig(name="g", transport="http", url=url, oauth=oauth, timeout_seconds=60)
    return ServerConnection(config, callbacks=Callbacks(login=login, tokens=tokens))


async def used(server: ServerConnection) -> None:
    with anyio.fail_after(60):
        try:
            await server.tools()
            await server.call("echo", {})
        finally:
            await server.aclose()


@pytest.mark.anyio
async def test_a_login_gives_a_token_and_the_browser_is_opened_once() -> None:
    with guarded_server() as server:
        browser = Browser()
        await used(connection(server.url, MemoryTokens(), browser))
        assert browser.asked == 1
        assert server.registrations == 1
        assert server.grant_types() == ["authorization_code"]


@pytest.mark.anyio
async def test_a_server_that_asks_only_at_a_call_is_logged_in_to_beforehand(tmp_path: Path) -> None:
    with guarded_server() as server:
        server.open = {"server/discover", "tools/list"}
        tokens = FileTokens(tmp_path / "t.json")
        config = ServerConfig(name="g", transport="http", url=server.url)
        known = authorization(config, Callbacks(login=Browser(), tokens=tokens))
        assert known is not None
        assert not known.has_token
        with anyio.fail_after(60):
            assert await known.log_in()
        assert server.grant_types() == ["authorization_code"]
        await used(connection(server.url, tokens))


@pytest.mark.anyio
async def test_a_server_that_names_nobody_is_not_logged_in_to() -> None:
    with guarded_server() as server:
        config = ServerConfig(name="g", transport="http", url=f"{server.origin}/mcp")
        server.authorization_server = ""
        known = authorization(config, Callbacks(login=Browser(), tokens=MemoryTokens()))
        assert known is not None
        with anyio.fail_after(60):
            assert not await known.log_in()
        assert server.registrations == 0


@pytest.mark.anyio
async def test_a_login_whose_token_cannot_be_kept_is_an_error_and_a_refresh_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = FileTokens(tmp_path / "file" / "t.json")
    with guarded_server() as server:
        with (
            anyio.fail_after(60),
            pytest.raises(MCPServerError, match=r"tokens cannot be kept in '.*t.json'"),
        ):
            await connection(server.url, nowhere, Browser()).tools()
        await used(connection(server.url, FileTokens(tmp_path / "t.json"), Browser()))
        server.tokens.clear()
        kept = FileTokens(tmp_path / "t.json")
        nowhere.load = kept.load  # type: ignore[method-assign]
        await used(connection(server.url, nowhere))
        assert server.grant_types()[-1] == "refresh_token"


@pytest.mark.anyio
async def test_six_calls_are_under_way_at_once() -> None:
    with guarded_server() as server:
        connected = connection(server.url, MemoryTokens(), Browser())
        await connected.tools()
        server.together = threading.Barrier(6)
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(connected.call, "echo", {})
        assert not server.together.broken
        await connected.aclose()


@pytest.mark.anyio
async def test_after_a_restart_the_stored_token_is_used_and_nobody_is_asked(tmp_path: Path) -> None:
    with guarded_server() as server:
        await used(connection(server.url, FileTokens(tmp_path / "t.json"), Browser()))
        await used(connection(server.url, FileTokens(tmp_path / "t.json")))
        assert server.grant_types() == ["authorization_code"]
    assert stat.S_IMODE((tmp_path / "t.json").stat().st_mode) == 0o600


@pytest.mark.anyio
async def test_a_token_that_was_taken_back_is_refreshed_before_anybody_is_asked(tmp_path: Path) -> None:
    with guarded_server() as server:
        await used(connection(server.url, FileTokens(tmp_path / "t.json"), Browser()))
        server.tokens.clear()
        browser = Browser()
        await used(connection(server.url, FileTokens(tmp_path / "t.json"), browser))
        assert browser.asked == 0
        assert server.grant_types() == ["authorization_code", "refresh_token"]


@pytest.mark.anyio
async def test_a_token_that_ends_soon_is_refreshed_before_it_is_used(tmp_path: Path) -> None:
    with guarded_server() as server:
        server.expires_in = 1
        await used(connection(server.url, FileTokens(tmp_path / "t.json"), Browser()))
        server.expires_in = 3600
        before = len(server.grants)
        await used(connection(server.url, FileTokens(tmp_path / "t.json")))
        assert server.grant_types()[before:] == ["refresh_token"]


@pytest.mark.anyio
async def test_a_refresh_that_is_refused_leads_to_a_new_login(tmp_path: Path) -> None:
    with guarded_server() as server:
        store = FileTokens(tmp_path / "t.json")
        await used(connection(server.url, store, Browser()))
        server.tokens.clear()
        server.refreshes = False
        browser = Browser()
        await used(connection(server.url, store, browser))
        assert browser.asked == 1


@pytest.mark.anyio
async def test_without_a_login_the_state_says_what_is_needed() -> None:
    with guarded_server() as server:
        connected = connection(server.url, MemoryTokens())
        with pytest.raises(MCPServerError, match="glm-agent mcp login"):
            await connected.tools()
        assert connected.state == "needs authorization"
        assert server.registrations == 0


@pytest.mark.anyio
async def test_a_program_gets_its_token_with_its_secret() -> None:
    with guarded_server() as server:
        oauth = OAuth(grant="client_credentials", client_id="me", client_secret="s3cret", issuer=server.origin)
        await used(connection(server.url, MemoryTokens(), oauth=oauth))
        assert server.grant_types() == ["client_credentials"]


@pytest.mark.anyio
async def test_a_secret_is_not_given_to_another_issuer() -> None:
    with guarded_server() as server:
        oauth = OAuth(
            grant="client_credentials", client_id="me", client_secret="s3cret", issuer="https://other.example"
        )
        with pytest.raises(MCPServerError, match="issuer") as caught:
            await used(connection(server.url, MemoryTokens(), oauth=oauth))
        assert server.grants == []
        assert "s3cret" not in str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "https://u:p@1.1.1.1/",
    ],
)
async def test_a_public_server_cannot_send_us_into_the_private_network(url: str) -> None:
    with pytest.raises(Refused):
        await UrlPolicy("https://1.1.1.1/mcp").check(url)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "http://localhost:80/", "https://[::1]/", "https://[::ffff:127.0.0.1]/"]
)
async def test_only_a_local_server_may_name_this_machine(url: str) -> None:
    await UrlPolicy("http://127.0.0.1:5/mcp").check(url)
    with pytest.raises(Refused):
        await UrlPolicy("https://1.1.1.1/mcp").check(url)


@pytest.mark.anyio
async def test_a_login_takes_only_the_answer_to_its_own_question() -> None:
    shown: list[str] = []
    with LoopbackLogin(show=shown.append, opens_browser=False) as login:
        answers: list[Mapping[str, str]] = []

        async def ask() -> None:
            answers.append(await login.authorize("https://as.example/authorize?state=mine"))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks, httpx2.AsyncClient(trust_env=False) as client:
                tasks.start_soon(ask)
                foreign = await client.get(login.redirect_uri, params={"code": "x", "state": "theirs"})
                assert "did not work" in foreign.text
                assert "Done" in (await client.get(login.redirect_uri, params={"code": "y", "state": "mine"})).text
    assert answers == [{"code": "y", "state": "mine"}]
    assert "https://as.example/authorize?state=mine" in shown[0]


@pytest.mark.anyio
async def test_a_login_on_another_machine_is_pasted() -> None:
    shown: list[str] = []
    pasted = iter(["", "http://127.0.0.1:9/callback?code=x&state=theirs", "http://[", "http://h/?code=y&state=mine\n"])

    async def paste() -> str | None:
        return next(pasted)

    with LoopbackLogin(show=shown.append, opens_browser=False, paste=paste) as login, anyio.fail_after(60):
        answer = await login.authorize("https://as.example/authorize?state=mine")
    assert answer == {"code": "y", "state": "mine"}
    assert "paste its address here" in shown[1]
    assert [said for said in shown if "not the address of this login" in said] == shown[2:]
    assert len(shown) == 4


@pytest.mark.anyio
async def test_whoever_cannot_paste_still_comes_back_in_the_browser() -> None:
    async def paste() -> str | None:
        return None

    with LoopbackLogin(show=lambda _: None, opens_browser=False, paste=paste) as login, anyio.fail_after(60):
        answers: list[Mapping[str, str]] = []

        async def ask() -> None:
            answers.append(await login.authorize("https://as.example/authorize?state=mine"))

        async with anyio.create_task_group() as tasks, httpx2.AsyncClient(trust_env=False) as client:
            tasks.start_soon(ask)
            await client.get(login.redirect_uri, params={"error": "access_denied", "state": "mine"})
    assert answers == [{"error": "access_denied", "state": "mine"}]


def test_tokens_of_one_server_leave_those_of_another(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "deep" / "t.json")
    store.save("a", {"token": 1})
    store.save("b", {"token": 2})
    store.save("a", {})
    assert json.loads(store.path.read_text()) == {"b": {"token": 2}}
    assert store.load("a") == {}


def test_a_key_names_the_host_and_hides_the_rest() -> None:
    assert key("https://u:p@h.example/mcp?key=k").startswith("h.example ")
    assert "k=" not in key("https://h.example/mcp?key=k")
    assert key("https://h.example/a") != key("https://h.example/b")


def read(oauth: object) -> ServerConfig:
    (config,), _ = read_servers([{"url": "https://h.example/mcp", "oauth": oauth}], environ={"S": "shh"})
    return config


def test_authorization_is_read_from_the_configuration() -> None:
    given = {"grant": "client_credentials", "clientId": "me", "clientSecret": "${S}", "scopes": ["a", "b"]}
    oauth = read(given).oauth
    assert oauth == OAuth(grant="client_credentials", client_id="me", client_secret="shh", scope="a b")
    assert "shh" not in repr(oauth)
    assert read(True).oauth == OAuth()


@pytest.mark.parametrize(
    ("oauth", "said"),
    [
        ({"grant": "magic"}, "authorization_code"),
        ({"clientid": "x"}, "not known"),
        ({"grant": "jwt_bearer", "clientId": "x"}, "'oauth.assertion' is missing"),
        ("yes", "Write an object"),
    ],
)
def test_authorization_that_cannot_work_is_an_error_with_its_place(oauth: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read(oauth)


def test_a_token_without_an_end_is_not_refreshed_early() -> None:
    from glm_agent.mcp.tokens import Tokens

    store = MemoryTokens()
    store.save("k", {"token": {"access_token": "t", "refresh_token": "r"}, "expires_at": 0})
    assert not Tokens(store, "k", None).is_ending
    store.save("k", {"token": {"access_token": "t"}, "expires_at": time.time() + 5})
    assert Tokens(store, "k", None).is_ending
