"""Databases and tables of the toolbox: what SQL says of real files, and that it reaches nothing else."""

from __future__ import annotations

import gzip
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import pytest
from glm_agent_tools import query_process, sqlite, tables
from glm_agent_tools.queries import Question
from glm_agent_tools.table_files import number, opened
from glm_agent_tools.workspace import Workspace
from hypothesis import given
from hypothesis import strategies as st

from glm_agent import ToolContext, ToolError
from glm_agent.messages import ToolCall

pytestmark = pytest.mark.anyio

Query = Callable[..., Awaitable[Any]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    make_shop(tmp_path / "work" / "shop.db")
    make_shop(tmp_path / "outside.db")
    return tmp_path / "work"


def make_shop(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE stock (sku TEXT PRIMARY KEY, units INTEGER, image BLOB);"
            "CREATE VIEW low AS SELECT * FROM stock"
        )
        rows = [("A-1", 3, b"\0\1"), ("B-2", 0, None), ("C-3", 7, None)]
        database.executemany("INSERT INTO stock VALUES (?, ?, ?)", rows)
        database.commit()


@pytest.fixture
def context(root: Path) -> ToolContext:
    return ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=Workspace(root))


@pytest.fixture
def query(context: ToolContext) -> Query:
    async def query(sql: str, path: str = "shop.db", **options: Any) -> Any:
        with anyio.fail_after(60):
            return await sqlite.sqlite_query(context, path, sql, **options)

    return query


@pytest.fixture
def execute(context: ToolContext) -> Query:
    async def execute(sql: str, path: str = "shop.db", **options: Any) -> Any:
        with anyio.fail_after(60):
            return await sqlite.sqlite_execute(context, path, sql, **options)

    return execute


@pytest.fixture
def ask(context: ToolContext) -> Query:
    async def ask(sql: str, **files: str) -> list[list[Any]]:
        with anyio.fail_after(60):
            return (await tables.query_table(context, files, sql))["rows"]

    return ask


# -- databases


async def test_a_query_returns_rows_in_pages(query: Query) -> None:
    first = await query("SELECT sku, units, image FROM stock ORDER BY 1", limit=2)
    assert first == {
        "columns": ["sku", "units", "image"],
        "rows": [["A-1", 3, "[2 bytes]"], ["B-2", 0, None]],
        "next_offset": 2,
    }
    rest = await query("SELECT sku FROM stock ORDER BY 1", offset=2, limit=2)
    assert (rest["rows"], rest["next_offset"]) == ([["C-3"]], None)
    found = await query("SELECT sku FROM stock WHERE sku = ?", parameters=["A-1' OR '1'='1"])
    assert found["rows"] == []


async def test_the_schema_tells_what_there_is(context: ToolContext) -> None:
    shown = await sqlite.sqlite_schema(context, "shop.db")
    assert [row[:2] for row in shown["rows"]] == [["view", "low"], ["table", "stock"]]
    assert "units INTEGER" in str(shown["rows"][1][3])


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM stock",
        "UPDATE stock SET units = 1",
        "DROP TABLE stock",
        "CREATE TABLE x (y)",
        "CREATE TEMP TABLE x (y)",
        "PRAGMA user_version = 7",
        "PRAGMA journal_mode = WAL",
        "PRAGMA writable_schema = ON",
        "ATTACH 'outside.db' AS x",
        "VACUUM INTO 'copy.db'",
        "VACUUM",
        "SELECT load_extension('x')",
        "INSERT INTO stock VALUES ('x', 1, NULL) RETURNING *",
        "WITH x AS (SELECT 1) DELETE FROM stock",
        "SELECT 1; DELETE FROM stock",
        "BEGIN IMMEDIATE",
    ],
)
def test_a_query_changes_nothing(root: Path, sql: str) -> None:
    before = (root / "shop.db").read_bytes()
    # Without the process around it, which could hide what the check lets through.
    question = asdict(Question(sql=sql, database="shop.db")) | {"root": str(root)}
    assert set(query_process.answer(question)) == {"error"}
    assert (root / "shop.db").read_bytes() == before
    assert os.listdir(root) == ["shop.db"]


async def test_a_mistake_in_the_sql_is_said(query: Query) -> None:
    with pytest.raises(ToolError, match="no such column: colour"):
        await query("SELECT colour FROM stock")
    with pytest.raises(ToolError, match=r"there is no file or folder 'ship\.db'; near it: 'shop\.db'"):
        await query("SELECT 1", path="ship.db")


async def test_a_statement_changes_what_it_says_and_nothing_else(execute: Query, query: Query, root: Path) -> None:
    done = await execute("UPDATE stock SET units = units + ? WHERE units < 5", parameters=[10])
    assert done["changed_rows"] == 2
    assert (await query("SELECT sum(units) FROM stock"))["rows"] == [[30]]
    returned = await execute("INSERT INTO stock VALUES ('D', 1, NULL) RETURNING sku")
    assert returned["rows"]["rows"] == [["D"]]
    for sql in ("ATTACH '../outside.db' AS x", "VACUUM INTO '../copy.db'"):
        with pytest.raises(ToolError, match="what is not allowed here"):
            await execute(sql)
    with pytest.raises(ToolError, match="there is no file"):
        await execute("CREATE TABLE x (y)", path="new.db")
    await execute("CREATE TABLE x (y)", path="new.db", create=True)
    assert (root / "new.db").exists()


def test_the_plugin_offers_only_what_reads() -> None:
    assert sqlite.__all__ == ["sqlite_query", "sqlite_schema"]
    assert {getattr(sqlite, name).spec.effect for name in sqlite.__all__} == {"read"}
    assert (sqlite.sqlite_execute.spec.effect, sqlite.sqlite_execute.destructive) == ("write", True)


@pytest.mark.parametrize("path", ["../outside.db", "/etc/passwd", "link.db", "file:../outside.db?mode=rw", ".git/x.db"])
async def test_no_database_outside_is_opened(query: Query, execute: Query, root: Path, path: str) -> None:
    (root / "link.db").symlink_to("../outside.db")
    before = (root.parent / "outside.db").read_bytes()
    with pytest.raises(ToolError):
        await query("SELECT * FROM stock", path=path)
    with pytest.raises(ToolError):
        await execute("DELETE FROM stock", path=path, create=path != "file:../outside.db?mode=rw")
    assert (root.parent / "outside.db").read_bytes() == before


async def test_a_name_with_signs_of_an_address_is_a_name(execute: Query, query: Query, root: Path) -> None:
    await execute("CREATE TABLE x (y)", path="a?mode=memory#b%41.db", create=True)
    assert (root / "a?mode=memory#b%41.db").exists()
    assert (await query("SELECT count(*) FROM x", path="a?mode=memory#b%41.db"))["rows"] == [[0]]


async def test_a_query_that_takes_too_much_ends(query: Query, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glm_agent_tools.queries._SECONDS", 1.0)
    with pytest.raises(ToolError, match=r"stopped after 1 seconds"):
        await query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n")
    monkeypatch.setattr("glm_agent_tools.queries._SECONDS", 60.0)
    with pytest.raises(ToolError, match="the query failed"):
        await query("SELECT length(hex(zeroblob(900000000)))")


async def test_a_long_answer_is_cut_and_goes_on(query: Query) -> None:
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i, hex(zeroblob(100)) FROM n"
    )
    page = await query(sql, limit=1000)
    assert 100 < len(page["rows"]) < 1000
    assert page["next_offset"] == len(page["rows"])
    assert (await query(sql, limit=1, offset=page["next_offset"]))["rows"][0][0] == len(page["rows"]) + 1
    wide = await query("SELECT hex(zeroblob(5000))")
    assert str(wide["rows"][0][0]).endswith("… [6,000 characters more]")


async def test_what_is_no_database_is_said(query: Query, root: Path) -> None:
    (root / "notes.txt").write_text("x" * 5000)
    with pytest.raises(ToolError, match="not a database"):
        await query("SELECT * FROM x", path="notes.txt")


# -- tables


async def test_a_table_is_filtered_sorted_and_summed_up(ask: Query, root: Path) -> None:
    (root / "sales.csv").write_text('region,amount,note\nnorth,1.5,"a, ""b"""\nsouth,2,\nnorth,3,c\n')
    rows = await ask("SELECT region, sum(amount), count(note) FROM s GROUP BY 1 ORDER BY 2 DESC", s="sales.csv")
    assert rows == [["north", 4.5, 2], ["south", 2, 0]]
    assert await ask("SELECT note FROM s WHERE amount < 2", s="sales.csv") == [['a, "b"']]


async def test_tables_of_several_kinds_are_joined(ask: Query, root: Path) -> None:
    (root / "names.tsv").write_bytes("\ufeffid\tname\r\n1\tÄnne\r\n2\tBob\r\n".encode())
    lines = '{"id": 1, "tags": ["x"], "ok": true}\n\n{"id": 2, "size": 2.5, "ok": null}\n'
    (root / "events.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    sql = "SELECT name, tags, size, ok FROM n JOIN e USING (id) ORDER BY id"
    assert await ask(sql, n="names.tsv", e="events.jsonl.gz") == [["Änne", '["x"]', None, 1], ["Bob", None, 2.5, None]]


async def test_a_table_is_described(context: ToolContext, root: Path) -> None:
    (root / "t.csv").write_text("n;x y;n;\n1;a;;z\n5;b;3;\n")
    described = await tables.describe_table(context, "t.csv")
    assert described["columns"] == ["column", "rows", "filled", "different", "smallest", "largest", "average"]
    assert described["rows"] == [
        ["n", 2, 2, 2, 1, 5, 3],
        ["x y", 2, 2, 2, "a", "b", None],
        ["n_3", 2, 1, 1, 3, 3, 3],
        ["column_4", 2, 1, 1, "z", "z", None],
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\0\1\2", "is a binary file"),
        ("a.csv.gz", b"no gzip", "is no table that can be read"),
        ("a.csv.gz", gzip.compress(b"a,b\n" * 5000)[:-20], "is no table that can be read"),
        ("a.jsonl", b"[1]\n", "is no JSON object"),
        ("a.jsonl", b'{"a": 1}\n{"a":\n', "line 2 of 'a.jsonl' is no JSON"),
        ("a.jsonl", b"\n", "holds no objects"),
    ],
)
async def test_what_is_no_table_is_said(ask: Query, root: Path, name: str, content: bytes, message: str) -> None:
    (root / name).write_bytes(content)
    with pytest.raises(ToolError, match=message):
        await ask("SELECT count(*) FROM t", t=name)


async def test_a_small_file_that_unpacks_to_a_huge_one_is_not_read(ask: Query, root: Path) -> None:
    # Members of a gzip file follow each other: 600 KB that unpack to 512 MiB.
    member = gzip.compress((b"1" * 65_535 + b"\n") * 512, compresslevel=1)
    (root / "bomb.csv.gz").write_bytes(member * 16)
    with pytest.raises(ToolError, match="holds more than 256 MiB"):
        await ask("SELECT count(*) FROM t", t="bomb.csv.gz")


async def test_tables_do_not_reach_other_files(ask: Query, context: ToolContext, root: Path) -> None:
    (root / "t.csv").write_text("a\n1\n")
    (root / "link.csv").symlink_to("../outside.db")
    for path in ("../outside.db", "/etc/passwd", "link.csv"):
        with pytest.raises(ToolError, match="is outside the workspace"):
            await ask("SELECT * FROM t", t=path)
    for sql in ("ATTACH 'shop.db' AS s", "DELETE FROM t", "INSERT INTO t VALUES (1)", "VACUUM INTO 'x.db'"):
        with pytest.raises(ToolError, match="what is not allowed here"):
            await ask(sql, t="t.csv")
    for name in ('t" (a); --', "sqlite_master", "1t", ""):
        with pytest.raises(ToolError, match="is no name for a table"):
            await tables.query_table(context, {name: "t.csv"}, "SELECT 1")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-1.50", -1.5), ("1e3", 1000.0), (".5", 0.5), ("0", 0), ("0.1", 0.1), ("007", "007"),
     ("", None),
     (" ", None), ("1." + "1" * 50, "1." + "1" * 50), ("1_000", "1_000"), ("nan", "nan"), ("inf", "inf"),
     ("9223372036854775808", "9223372036854775808"),
     ("١", "١"),
     ("+49 30", "+49 30"), ("1-2", "1-2"), ("0x1f", "0x1f"), ("-", "-")],
)  # fmt: skip
def test_numbers_are_numbers_and_what_only_looks_like_one_is_text(text: str, value: Any) -> None:
    assert number(text) == value
    assert type(number(text)) is type(value)


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")), min_size=3, max_size=3),
        min_size=1,
    )
)
def test_what_python_writes_as_csv_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    import csv

    folder = tmp_path_factory.getbasetemp() / "csv"
    folder.mkdir(exist_ok=True)
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["a", "b", "c"], *rows])
    with opened(Workspace(folder), "t.csv") as (columns, read):
        assert columns == ["a", "b", "c"]
        assert [list(row) for row in read] == [[number(cell) for cell in row] for row in rows]
