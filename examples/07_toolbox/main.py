"""Every tool of the toolbox at work, in a folder of its own, without a key and without the Internet.

python examples/07_toolbox/main.py
glm-agent tools list                  what each tool costs in tokens
GLM_AGENT_SANDBOX=required python examples/07_toolbox/main.py     no command runs where it cannot be confined
"""

import json
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace

from glm_agent_tools.http_rules import HttpRules
from glm_agent_tools.web import WebService
from glm_agent_tools.workspace import Workspace

from glm_agent import Agent, ToolResult
from glm_agent.simulate import SimulatorServer

TOOLS = [
    "files",
    "search",
    "text",
    "tables",
    "sqlite",
    "sqlite:sqlite_execute",
    "git",
    "shell",
    "python",
    "http",
    "web",
]
TOOLS += ["time", "think", "todo", "programs"]

SALES = "region,units,price\nnorth,4,2.50\nsouth,10,1.20\nnorth,1,9.00\n"
STOCK = "CREATE TABLE stock (sku TEXT PRIMARY KEY, units INTEGER)"

# Each line is a call; those of one block run at once. On GLM the model would choose them.
PROMPT = """
call write_todos {"todos": [{"task": "look around", "state": "doing"}, {"task": "report", "state": "open"}]}
call think {"thought": "First what is there, then the figures."}
call current_time {"timezone": "Asia/Shanghai"}
call convert_time {"time": "2026-11-22T09:00", "from_timezone": "Asia/Shanghai", "to_timezone": "Europe/Berlin"}
call time_between {"start": "2026-11-02", "end": "2026-11-23"}
then call write_file {"path": "notes.md", "content": "# Notes\\nto do: everything\\n"}
call sqlite_execute {"path": "shop.db", "sql": "STOCK", "create": true}
then call edit_file {"path": "notes.md", "old": "everything", "new": "nothing"}
call sqlite_execute {"path": "shop.db", "sql": "INSERT INTO stock VALUES ('A-1', ?), ('B-2', ?)", "parameters": [3, 0]}
then call read_file {"path": "notes.md"}
call list_files {}
call find_files {"words": "sal"}
call search_text {"pattern": "north,\\\\d"}
call file_stats {"path": "sales.csv"}
call count_lines {}
call count_text {"text": "strawberry", "of": "r"}
call tally_lines {"text": "a\\nb\\na"}
call pick_lines {"text": "error: x\\nok", "containing": "error"}
call compare_texts {"before": "a\\nb", "after": "a\\nc"}
call git_summary {}
call describe_table {"path": "sales.csv"}
call query_table {"files": {"s": "sales.csv"}, "sql": "SELECT region, sum(units * price) FROM s GROUP BY 1"}
call sqlite_schema {"path": "shop.db"}
call sqlite_query {"path": "shop.db", "sql": "SELECT sku FROM stock WHERE units < ?", "parameters": [1]}
call run_command {"command": ["wc", "-l", "sales.csv"]}
call python_script {"code": "print(sum(n * n for n in range(10)))"}
call run_python {"code": "print(sum(count_text(text=word, of='r')['occurrences'] for word in ['berry', 'pear']))"}
call http_get {"url": "SITE/models"}
call http_post {"url": "SITE/reader", "json": {"url": "https://example.com/"}}
call web_search {"query": "GLM tools", "count": 2}
call read_page {"url": "https://example.com/1"}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, SimulatorServer("directive") as site:
        Path(folder, "sales.csv").write_text(SALES)
        subprocess.run(["git", "init", "--quiet", folder], check=True)
        host = site.address.removeprefix("http://")
        key = {"authorization": f"Bearer {site.api_key}"}
        deps = SimpleNamespace(
            workspace=Workspace(folder),
            # Only this host, although it is on this machine; its key is added here and not seen by the model.
            http=HttpRules(allow=(host,), private=("127.0.0.1",), secrets={"http://127.0.0.1": key}),
            web=WebService(api_key=site.api_key, base_url=site.base_url),
        )
        agent = Agent("simulate:directive", tools=TOOLS, max_steps=5)
        prompt = PROMPT.replace("SITE", site.base_url).replace("STOCK", STOCK)
        result = agent.run_sync(prompt, deps=deps)
    for message in result.messages:
        if isinstance(message, ToolResult):
            mark = "failed" if message.is_error else "ok"
            print(f"{message.name:<16} {mark:<7} {json.dumps(message.content, ensure_ascii=False)[:90]}")


if __name__ == "__main__":
    main()
