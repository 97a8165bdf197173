"""A new plugin package: its files as text, ready to be installed and tested. Knows nothing of the terminal."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import sys
from pathlib import Path
from string import Template
from typing import Final

from glm_agent.errors import ConfigurationError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_MAX_NAME: Final = 50

_PROJECT: Final = Template("""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "$name"
version = "0.1.0"
description = "Tools for glm-agent"
requires-python = ">=3.11"
dependencies = ["glm-agent"]

[project.optional-dependencies]
test = ["pytest"]

# How glm-agent finds the tools: --tools $name, or Agent(tools=["$name"]).
[project.entry-points."glm_agent.tools"]
$name = "$module"

[tool.hatch.build.targets.wheel]
packages = ["$module"]
""")

_MODULE: Final = Template('''\
"""Tools that the model can call: every function with ``@tool``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from glm_agent import ToolError, tool


@tool(read_only=True)
def ${module}_repeat(text: str, times: Annotated[int, Field(ge=1, le=100)] = 2) -> str:
    """Say a text several times, one line each.

    What stands here is what the model reads: say what the tool does and when to use it.

    Args:
        text: What to say.
        times: How often to say it.
    """
    if not text.strip():
        # The model reads this word for word: tell it what to do instead.
        raise ToolError("the text is empty: give something to say")
    return "\\n".join([text] * times)
''')

_TEST: Final = Template('''\
"""The tools, called as the model would call them: no key, no network."""

from glm_agent.testing import ToolTester

# By the name of the entry point, as users load it: install the package first.
tester = ToolTester("$name")


def test_a_text_is_said_as_often_as_asked() -> None:
    assert tester.call_sync("${module}_repeat", text="ha", times=3).content == "ha\\nha\\nha"


def test_the_model_is_told_what_to_do_about_an_empty_text() -> None:
    outcome = tester.call_sync("${module}_repeat", text=" ")
    assert outcome.is_error
    assert outcome.content == "the text is empty: give something to say"


def test_arguments_are_checked_before_the_function_runs() -> None:
    assert tester.call_sync("${module}_repeat", text="ha", times=0).is_error
''')

_README: Final = Template("""\
# $name

Tools for glm-agent.

```console
$$ pip install -e '.[test]'
$$ pytest
$$ glm-agent tools check $name
$$ glm-agent run 'call ${module}_repeat {"text": "hello"}' --tools $name --model simulate:directive
```
""")


def package_files(name: str) -> dict[str, str]:
    """The files of a new plugin package, by path. Raises ``ConfigurationError`` for a name that cannot be one."""
    module = _module(name)
    values = {"name": name, "module": module}
    return {
        "pyproject.toml": _PROJECT.substitute(values),
        f"{module}/__init__.py": _MODULE.substitute(values),
        f"{module}/py.typed": "",
        f"tests/test_{module}.py": _TEST.substitute(values),
        "README.md": _README.substitute(values),
    }


def write_package(folder: Path, name: str) -> list[Path]:
    """Write a new plugin package into a folder that is new or empty; the files, in order.

    Raises:
        ConfigurationError: The name cannot be one, or the folder holds something.
    """
    files = package_files(name)
    try:
        if os.path.exists(folder) and (not os.path.isdir(folder) or any(folder.iterdir())):
            raise ConfigurationError(f"'{folder}' is there already and not empty: give another name, or --folder")
        written: list[Path] = []
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            written.append(file)
    except OSError as error:
        raise ConfigurationError(f"'{folder}' cannot be written: {error.strerror or error}") from error
    return written


def _module(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise ConfigurationError(
            f"'{name}' cannot be the name of a plugin: use small letters, digits and '-', such as 'acme-stock'"
        )
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or module in sys.stdlib_module_names or module in ("tests", "glm_agent_tools"):
        raise ConfigurationError(f"'{name}' is a word of Python's own: give a longer name, such as 'acme-{name}'")
    spec = importlib.util.find_spec(module)
    # A folder without code is no module, though Python takes it for one.
    if spec is not None and spec.origin is not None:
        raise ConfigurationError(f"a module '{module}' is installed already: give another name, such as 'my-{name}'")
    return module
