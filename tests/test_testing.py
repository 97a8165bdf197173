"""The doubles that plugin authors test with."""

from __future__ import annotations

from pathlib import Path

import pytest

from glm_agent import ConfigurationError, ImagePart, ToolContext, tool
from glm_agent.testing import ScriptedModel, ToolTester


@tool(read_only=True)
def stock(sku: str, context: ToolContext) -> dict[str, object]:
    """Units in stock.

    Args:
        sku: Article number.
    """
    context.progress(f"looking for {sku}")
    return {"sku": sku, "units": context.deps[sku]}


def test_a_call_gives_what_the_model_would_read():
    outcome = ToolTester(stock, deps={"A-17": 4}).call_sync("stock", sku="A-17")
    assert outcome.content == '{"sku":"A-17","units":4}'
    assert outcome.value == {"sku": "A-17", "units": 4}
    assert not outcome.is_error
    assert outcome.progress == ("looking for A-17",)


def test_errors_are_outcomes_as_they_are_for_the_model():
    tester = ToolTester(stock, deps={})
    assert tester.call_sync("stock", sku="B-3").content == "KeyError: 'B-3'"
    wrong = tester.call_sync("stock", sku=[1])
    assert wrong.is_error
    assert "arguments.sku: got [1] (array), wanted string" in wrong.content
    assert tester.call_sync("stok", sku="A").content.startswith("there is no tool 'stok'")


def test_arguments_may_be_text_as_a_model_writes_it():
    tester = ToolTester(stock, deps={"A-17": 4})
    assert tester.call_sync("stock", "{'sku': 'A-17',}").value["units"] == 4
    assert "not valid JSON" in tester.call_sync("stock", '{"sku": "A-').content


def test_specs_show_what_the_model_is_shown():
    assert ToolTester(stock).specs["stock"].parameters["properties"]["sku"]["description"] == "Article number."


def test_plain_functions_and_files_are_tools_too(tmp_path: Path):
    def picture() -> tuple[str, ImagePart]:
        return "here", ImagePart(url="data:image/png;base64,AA==")

    (tmp_path / "more.py").write_text(
        "from glm_agent import tool\n\n@tool\ndef double(n: int) -> int:\n    return 2 * n\n"
    )
    tester = ToolTester(picture, tmp_path / "more.py")
    assert tester.call_sync("double", n=4).content == "8"
    assert tester.call_sync("picture").attachments == (ImagePart(url="data:image/png;base64,AA=="),)


def test_a_broken_plugin_is_named(tmp_path: Path):
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    with pytest.raises(ConfigurationError, match=r"bad\.py.*nothing_of_this_name"):
        ToolTester(str(tmp_path / "bad.py"))


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_call_runs_in_the_event_loop_of_a_test():
    assert (await ToolTester(stock, deps={"A-17": 4}).call("stock", sku="A-17")).value["units"] == 4


def test_the_scripted_model_comes_along():
    assert ScriptedModel(["hello"]).unused == 1
