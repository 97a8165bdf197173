"""The toolbox: what each tool says of real files and repositories, and that none leaves the workspace."""

import json
import os
import socket
import stat
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from glm_agent_tools import files, git, search, text
from glm_agent_tools.content import recognise
from glm_agent_tools.languages import language_of
from glm_agent_tools.tree import files_under
from glm_agent_tools.workspace import Workspace, workspace_of
from hypothesis import given, settings
from hypothesis import strategies as st

from glm_agent import ToolContext, ToolError
from glm_agent.messages import ToolCall, ToolProgress, ToolResult
from glm_agent.registry import ToolRegistry

FAMILIES = (files, search, text, git)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The workspace; beside it lies what must stay out of reach."""
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("secret")
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def context(root: Path) -> ToolContext:
    return ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=Workspace(root))


def write(root: Path, **content: str | bytes) -> None:
    """Files by name, ``__`` standing for ``/`` and ``_DOT_`` for a dot."""
    for name, data in content.items():
        file = root / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)


def run_git(root: Path, *arguments: str) -> str:
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    names = {f"GIT_{who}_{what}": f"{who}@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **settings, **names}
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True, text=True).stdout


def commit(root: Path, subject: str, **content: str | bytes) -> None:
    write(root, **content)
    run_git(root, "add", "--all")
    run_git(root, "commit", "--quiet", "--allow-empty", "--message", subject)


@pytest.fixture
def repository(root: Path) -> Path:
    run_git(root, "init", "--quiet")
    commit(root, "first", a_DOT_py="a\nb\n", docs__guide_DOT_md="# Guide\n", _DOT_gitignore="*.log\nbuild/\n")
    commit(root, "second: ä | x", a_DOT_py="a\nb\nc\n")
    commit(root, "third", a_DOT_py="a\n", b_DOT_js="1\n2")
    write(root, noise_DOT_log="x\n", build__out_DOT_py="x\n", draft_DOT_py="d\n")
    return root


# -- the tools as they are offered


async def specs() -> dict[str, object]:
    tools = [value for family in FAMILIES for value in vars(family).values() if hasattr(value, "spec")]
    return {spec.name: spec for spec in await ToolRegistry(tools).specs()}


@pytest.mark.anyio
async def test_tools_declare_what_they_change() -> None:
    found = await specs()
    effects = {name: spec.effect for name, spec in found.items() if spec.effect != "read"}
    assert effects == {"write_file": "idempotent", "edit_file": "write"}
    assert {name for name, spec in found.items() if spec.is_untrusted} == {"read_file", "search_text", "git_summary"}


@pytest.mark.anyio
async def test_every_parameter_is_described_and_the_context_is_not_shown() -> None:
    for spec in (await specs()).values():
        assert len(spec.description) > 20, spec.name
        for name, schema in spec.parameters["properties"].items():
            assert name != "context"
            assert schema.get("description"), f"{spec.name}.{name}"


@pytest.mark.anyio
async def test_a_tool_runs_through_the_registry(root: Path, context: ToolContext) -> None:
    write(root, a_DOT_txt="hello\n")
    registry = ToolRegistry([files.read_file, files.count_lines])

    async def call(name: str, arguments: str) -> ToolResult:
        call = ToolCall(id="1", name=name, arguments=arguments)
        return await registry.call(call, ToolContext(call=call, deps=context.deps))

    assert (await call("read_file", '{"path": "a.txt"}')).content == "hello\n"
    missing = await call("read_file", '{"path": "b.txt"}')
    assert (missing.is_error, missing.content) == (True, "there is no file or folder 'b.txt'; near it: 'a.txt'")
    assert json.loads((await call("count_lines", "{}")).content)["lines"] == 1
    assert (await call("read_file", '{"path": "a.txt", "limit": 0}')).is_error


# -- where the workspace is


def test_the_workspace_comes_from_the_run_or_the_environment_or_is_the_working_directory(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workspace_of(context).root == root
    context.deps = SimpleNamespace(workspace=Workspace(root.parent))
    assert workspace_of(context).root == root.parent
    context.deps = {"workspace": "a string is no workspace"}
    monkeypatch.chdir(root)
    monkeypatch.delenv("GLM_AGENT_WORKSPACE", raising=False)
    assert workspace_of(context).root == root
    monkeypatch.setenv("GLM_AGENT_WORKSPACE", str(root.parent / "outside"))
    assert workspace_of(context).root == root.parent / "outside"


# -- attacks


ESCAPES = [
    "../secret.txt",
    "..",
    "sub/../../secret.txt",
    "/etc/passwd",
    "/proc/self/root/etc/passwd",
    "/proc/self/environ",
    "link-out/secret.txt",
    "link-file",
    "link-chain",
    "deep/link-up/secret.txt",
    "/",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out_of_the_workspace(root: Path, context: ToolContext, path: str) -> None:
    (root / "sub").mkdir()
    (root / "deep").mkdir()
    (root / "link-out").symlink_to(root.parent / "outside")
    (root / "link-file").symlink_to("../secret.txt")
    (root / "link-chain").symlink_to("link-file")
    (root / "deep" / "link-up").symlink_to("../..")
    before = {file: file.read_text() for file in root.parent.rglob("secret.txt")}
    attempts = [
        lambda: files.read_file(context, path),
        lambda: files.write_file(context, path, "x"),
        lambda: files.edit_file(context, path, "secret", "x"),
        lambda: files.file_stats(context, path),
        lambda: files.list_files(context, path),
        lambda: files.count_lines(context, path),
        lambda: search.search_text(context, "secret", folder=path),
        lambda: search.find_files(context, "secret", path),
        lambda: git.git_summary(context, path),
    ]
    for attempt in attempts:
        with pytest.raises(ToolError, match="is outside the workspace: write a path inside it"):
            attempt()
    assert {file: file.read_text() for file in before} == before
    assert sorted(entry.name for entry in root.parent.iterdir()) == ["outside", "secret.txt", "work"]


@settings(max_examples=200, deadline=None)
@given(parts=st.lists(st.sampled_from(["..", ".", "", "sub", "link-out", "secret.txt", "~", " "]), max_size=6))
def test_no_combination_of_names_leads_out(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    base = tmp_path_factory.getbasetemp() / "combinations"
    if not base.exists():
        (base / "work" / "sub").mkdir(parents=True)
        (base / "secret.txt").write_text("secret")
        (base / "work" / "link-out").symlink_to(base)
    workspace = Workspace(base / "work")
    try:
        with workspace.open("/".join(parts)) as file:
            assert file.read() != b"secret"
    except ToolError:
        pass


def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "sub").symlink_to(root.parent / "outside")
    (root / "file").symlink_to(root.parent / "secret.txt")
    # What a check just before the swap would have said:
    monkeypatch.setattr(Workspace, "locate", lambda _, path: tuple(path.split("/")))
    for path in ("sub/secret.txt", "file"):
        with pytest.raises(ToolError):
            files.read_file(context, path)
        with pytest.raises(ToolError):
            files.write_file(context, path, "x")
    assert (root.parent / "secret.txt").read_text() == (root.parent / "outside" / "secret.txt").read_text() == "secret"


def test_links_inside_the_workspace_lead_where_they_point(root: Path, context: ToolContext) -> None:
    write(root, real__a_DOT_txt="old\n")
    (root / "link").symlink_to("real")
    assert files.read_file(context, "link/a.txt") == "old\n"
    assert files.write_file(context, "link/a.txt", "new\n")["path"] == "real/a.txt"
    assert (root / "real" / "a.txt").read_text() == "new\n"
    assert files.read_file(context, str(root / "real" / "a.txt")) == "new\n"  # absolute, and inside


@pytest.mark.parametrize("path", [".git/config", ".git/hooks/pre-commit", "sub/.GIT/config", ".glm-agent/journal.db"])
def test_what_git_and_the_agent_keep_for_themselves_is_left_alone(root: Path, context: ToolContext, path: str) -> None:
    for attempt in (files.read_file, files.file_stats):
        with pytest.raises(ToolError, match="own"):
            attempt(context, path)
    with pytest.raises(ToolError, match="own"):
        files.write_file(context, path, "#!/bin/sh")
    assert list(root.iterdir()) == []


def test_a_link_into_the_folder_of_git_is_refused_too(repository: Path, context: ToolContext) -> None:
    (repository / "innocent").symlink_to(".git/hooks")
    with pytest.raises(ToolError, match="git's own"):
        files.write_file(context, "innocent/pre-commit", "#!/bin/sh")


def test_devices_pipes_and_sockets_are_not_opened(root: Path, context: ToolContext) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
        for name in ("pipe", "socket"):
            with pytest.raises(ToolError, match=r"no regular file|cannot be opened"):
                files.read_file(context, name)
            with pytest.raises(ToolError, match="no regular file"):
                files.write_file(context, name, "x")
        assert files.count_lines(context)["files"] == 0
        assert "no hit" in search.search_text(context, "x")


@pytest.mark.parametrize("path", ["a\0b", "x" * 300, "loop", "file/below", "", "."])
def test_odd_paths_are_answered_in_words(root: Path, context: ToolContext, path: str) -> None:
    (root / "loop").symlink_to("loop")
    write(root, file="x")
    for attempt in (files.read_file, files.file_stats):
        with pytest.raises(ToolError):
            attempt(context, path)
    with pytest.raises(ToolError):
        files.write_file(context, path, "x")


HOSTILE = """
[core]
    fsmonitor = "touch {pwned}; false"
    hooksPath = {hooks}
    sshCommand = touch {pwned}
[log]
    showSignature = true
[gpg]
    program = {program}
[diff]
    external = {program}
[core]
    pager = touch {pwned}
"""


def test_programs_named_in_a_repositorys_configuration_do_not_run(repository: Path, context: ToolContext) -> None:
    pwned, program = repository.parent / "pwned", repository.parent / "program"
    signed = "cat > /dev/null; echo '[GNUPG:] SIG_CREATED x' >&2; echo '-----BEGIN PGP SIGNATURE-----'"
    program.write_text(f"#!/bin/sh\ntouch {pwned}\n{signed}\n")
    program.chmod(0o755)
    run_git(repository, "-c", f"gpg.program={program}", "commit", "-S", "--quiet", "--allow-empty", "-m", "signed")
    pwned.unlink()
    values = {"pwned": pwned, "program": program, "hooks": repository.parent}
    with (repository / ".git" / "config").open("a") as config:
        config.write(HOSTILE.format(**values))
    for unguarded in (("ls-files", "--others"), ("log",)):
        run_git(repository, *unguarded)
        assert pwned.exists(), "the trap works where nothing guards against it"
        pwned.unlink()
    assert git.git_summary(context)["commits"] == 4
    assert files.list_files(context)["total"] == 5
    files.count_lines(context, tracked_only=True)
    search.search_text(context, "a")
    assert not pwned.exists()


def test_variables_that_point_git_elsewhere_are_not_passed_on(
    repository: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository.parent / "nowhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    assert git.git_summary(context)["commits"] == 3


def test_names_that_look_like_options_are_names(repository: Path, context: ToolContext) -> None:
    commit(repository, "--all", **{"--output=x_DOT_py": "needle\n", ":(top)": "needle\n"})
    assert {"--output=x.py", ":(top)"} <= set(files.list_files(context)["files"])
    assert "--output=x.py:1:needle" in search.search_text(context, "needle")
    (repository / "-C").mkdir()
    assert git.git_summary(context, "-C")["is_repository"] is True


def test_a_pattern_that_would_run_for_years_is_stopped_and_what_was_found_is_kept(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, a_DOT_txt="aaaa\n", b_DOT_txt="a" * 60 + "!\n")
    monkeypatch.setattr(search, "_SEARCH_SECONDS", 2.0)
    said = search.search_text(context, r"^(a+)+$")
    assert said.splitlines() == [
        "a.txt:1:aaaa",
        "[stopped after 2 seconds: use a simpler pattern, or search fewer files]",
    ]


def test_a_module_in_the_workspace_is_not_imported_by_the_search(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, json_DOT_py="raise SystemExit('pwned')", glm_agent_DOT_py="raise SystemExit('pwned')")
    monkeypatch.chdir(root)
    assert "json.py:1:" in search.search_text(context, "pwned")


# -- list


def test_a_list_has_what_git_does_not_ignore(repository: Path, context: ToolContext) -> None:
    found = files.list_files(context)
    assert found == {
        "files": [".gitignore", "a.py", "b.js", "docs/guide.md", "draft.py"],
        "total": 5,
        "next_offset": None,
    }
    assert files.list_files(context, "docs")["files"] == ["docs/guide.md"]


def test_without_git_the_rules_of_gitignore_files_hold_all_the_same(root: Path, context: ToolContext) -> None:
    write(root, a_DOT_py="", noise_DOT_log="", build__out="", _DOT_gitignore="*.log\nbuild/\n/top.txt\n")
    write(root, top_DOT_txt="", sub__top_DOT_txt="", sub___DOT_gitignore="!keep.log\nown.txt\n", sub__keep_DOT_log="")
    write(root, sub__own_DOT_txt="", sub__deep__own_DOT_txt="", deep__build__x="", deep__noise_DOT_log="")
    (root / "link").symlink_to("a.py")
    walked = files.list_files(context)["files"]
    assert walked == [".gitignore", "a.py", "sub/.gitignore", "sub/keep.log", "sub/top.txt"]
    run_git(root, "init", "--quiet")
    assert files.list_files(context)["files"] == walked


def test_without_git_what_tools_leave_behind_is_left_out(root: Path, context: ToolContext) -> None:
    write(root, a="", node_modules__x="", _DOT_venv__x="", _DOT_hg__x="", _DOT_glm_agent__x="")
    os.rename(root / ".glm_agent", root / ".glm-agent")
    assert files.list_files(context)["files"] == ["a"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.py", ["a.py", "draft.py"]),
        ("./a.py", ["a.py"]),
        ("**/*.md", ["docs/guide.md"]),
        ("docs/", ["docs/guide.md"]),
        ("*.{js,md}", ["b.js", "docs/guide.md"]),
        ("/*.py", ["a.py", "draft.py"]),
        ("*.rs", []),
        ("{", []),
    ],
)
def test_a_pattern_is_that_of_a_gitignore_line(
    repository: Path, context: ToolContext, pattern: str, expected: list[str]
) -> None:
    assert files.list_files(context, pattern=pattern)["files"] == expected


def test_a_pattern_that_is_none_is_answered_in_words(root: Path, context: ToolContext) -> None:
    with pytest.raises(ToolError, match="is no pattern"):
        files.list_files(context, pattern="\\")


def test_a_long_list_comes_in_pages(root: Path, context: ToolContext) -> None:
    write(root, **{f"f{n:02}": "" for n in range(25)})
    offset, seen = 0, []
    while offset is not None:
        page = files.list_files(context, offset=offset, limit=10)
        assert page["total"] == 25
        seen += page["files"]
        offset = page["next_offset"]
    assert seen == [f"f{n:02}" for n in range(25)]


def test_a_folder_that_is_missing_is_answered_with_what_is_near(root: Path, context: ToolContext) -> None:
    write(root, source__a="")
    with pytest.raises(ToolError, match="no file or folder 'sourse'; near it: 'source'"):
        files.list_files(context, "sourse")
    with pytest.raises(ToolError, match="no folder"):
        files.list_files(context, "source/a")


# -- read


def test_a_file_is_read_in_pages_that_say_how_to_go_on(root: Path, context: ToolContext) -> None:
    write(root, a="".join(f"{n}\n" for n in range(1, 11)))
    assert files.read_file(context, "a", 1, 4) == "1\n2\n3\n4\n[lines 1 to 4; there are more: go on with offset=5]"
    assert files.read_file(context, "a", 5, 6) == "5\n6\n7\n8\n9\n10\n"
    with pytest.raises(ToolError, match="fewer than 11 lines"):
        files.read_file(context, "a", 11)


def test_a_page_is_bounded_in_characters_too(root: Path, context: ToolContext) -> None:
    write(root, wide="x" * 5_000_000 + "\nend\n", many=("y" * 1_500 + "\n") * 900)
    said = files.read_file(context, "wide")
    assert len(said) < 20_000
    assert "characters more in this line]" in said
    assert said.endswith("end\n")
    many = files.read_file(context, "many")
    assert len(many) < 92_000
    assert many.endswith("go on with offset=60]")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom", "utf-32", "cp1252"])
def test_text_is_read_and_edited_in_its_own_encoding_and_line_ends(
    root: Path, context: ToolContext, encoding: str, newline: str
) -> None:
    words = f"Grüße{newline}zweite Zeile{newline}Ende"
    data = b"\xfe\xff" + words.encode("utf-16-be") if encoding == "utf-16-be-bom" else words.encode(encoding)
    write(root, a=data)
    assert files.read_file(context, "a") == "Grüße\nzweite Zeile\nEnde\n"
    assert files.file_stats(context, "a")["lines"] == 3
    assert "a:2:zweite Zeile" in search.search_text(context, "^zweite Zeile$")
    edited = files.edit_file(context, "a", "Grüße\nzweite", "Grüße\nandere")
    assert edited == {"path": "a", "replaced": 1, "first_line": 1}
    changed = words.replace("zweite", "andere")
    wanted = b"\xfe\xff" + changed.encode("utf-16-be") if encoding == "utf-16-be-bom" else changed.encode(encoding)
    assert (root / "a").read_bytes() == wanted


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\n\0\0", b"\x1f\x8b\x08" + bytes(range(1, 256)) * 9, b"PK\x03\x04\0", b"text\0text"]
)
def test_binary_files_are_recognised_and_not_shown(root: Path, context: ToolContext, data: bytes) -> None:
    write(root, a_DOT_py=data)
    with pytest.raises(ToolError, match=r"'a\.py' is a binary file"):
        files.read_file(context, "a.py")
    with pytest.raises(ToolError, match="binary"):
        files.edit_file(context, "a.py", "text", "x")
    stats = files.file_stats(context, "a.py")
    assert (stats["bytes"], stats["lines"], stats["encoding"]) == (len(data), None, None)
    count = files.count_lines(context)
    assert (count["files"], count["binary_files"], count["lines"]) == (1, 1, 0)
    assert "no hit" in search.search_text(context, "text")


def test_an_empty_file_is_text(root: Path, context: ToolContext) -> None:
    write(root, a="")
    assert files.read_file(context, "a") == "[the file is empty]"
    assert files.file_stats(context, "a")["lines"] == 0


def test_the_place_where_a_sample_ends_does_not_change_the_encoding(root: Path) -> None:
    write(root, a="x" * 65_535 + "ä")
    with (root / "a").open("rb") as file:
        assert recognise(file).encoding == "utf-8"


# -- write and edit


def test_a_file_is_made_with_its_folders_and_replaced_as_a_whole(root: Path, context: ToolContext) -> None:
    first = files.write_file(context, "new/deep/a.txt", "one\ntwo")
    assert first == {"path": "new/deep/a.txt", "is_new": True, "bytes": 7, "lines": 2}
    (root / "new/deep/a.txt").chmod(0o750)
    again = files.write_file(context, "new/deep/../deep/a.txt", "ü")
    assert again == {"path": "new/deep/a.txt", "is_new": False, "bytes": 2, "lines": 1}
    assert (root / "new/deep/a.txt").read_bytes() == "ü".encode()
    assert stat.S_IMODE((root / "new/deep/a.txt").stat().st_mode) == 0o750
    assert [entry.name for entry in (root / "new/deep").iterdir()] == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(
    root: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root, a="old")

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ToolError, match="'a' cannot be written: No space left"):
        files.write_file(context, "a", "new")
    assert [(entry.name, entry.read_text()) for entry in root.iterdir()] == [("a", "old")]


def test_a_file_in_the_way_of_a_folder_is_named(root: Path, context: ToolContext) -> None:
    write(root, a="x")
    with pytest.raises(ToolError, match="'a/b' is no folder, or leads through"):
        files.write_file(context, "a/b", "x")
    (root / "folder").mkdir()
    with pytest.raises(ToolError, match="'folder' is a folder"):
        files.write_file(context, "folder", "x")


def test_an_edit_needs_one_clear_place(root: Path, context: ToolContext) -> None:
    write(root, a="x = 1\ny = 1\nx = 1\n")
    with pytest.raises(ToolError, match=r"stands 2 times in 'a' \(lines 1, 3\)"):
        files.edit_file(context, "a", "x = 1", "x = 2")
    with pytest.raises(ToolError, match="line 2 is like it but for spaces"):
        files.edit_file(context, "a", "y  =  1", "y = 2")
    with pytest.raises(ToolError, match="copy it exactly"):
        files.edit_file(context, "a", "z", "y")
    with pytest.raises(ToolError, match="old is empty"):
        files.edit_file(context, "a", "", "y")
    assert (root / "a").read_text() == "x = 1\ny = 1\nx = 1\n"
    assert files.edit_file(context, "a", "x = 1", "x = 2", replace_all=True)["replaced"] == 2
    assert files.edit_file(context, "a", "y = 1", "")["first_line"] == 2
    assert (root / "a").read_text() == "x = 2\n\nx = 2\n"


def test_an_edit_that_the_encoding_cannot_hold_is_refused(root: Path, context: ToolContext) -> None:
    write(root, a="Grüße".encode("cp1252"))
    with pytest.raises(ToolError, match="cp1252, which cannot hold '好'"):
        files.edit_file(context, "a", "Gr", "好")
    assert (root / "a").read_bytes() == "Grüße".encode("cp1252")


@settings(max_examples=100, deadline=None)
@given(
    before=st.text("ab\n ", max_size=12), old=st.text("ab\n ", min_size=1, max_size=3), new=st.text("ab\n", max_size=3)
)
def test_an_edit_is_exactly_a_replacement(
    tmp_path_factory: pytest.TempPathFactory, before: str, old: str, new: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "edits"
    folder.mkdir(exist_ok=True)
    (folder / "a").write_text(before)
    context = ToolContext(call=ToolCall(id="1", name="t", arguments="{}"), deps=Workspace(folder))
    try:
        files.edit_file(context, "a", old, new, replace_all=True)
    except ToolError:
        assert old not in before
    assert (folder / "a").read_text() == before.replace(old, new)


# -- count


def test_lines_are_counted_by_language(repository: Path, context: ToolContext) -> None:
    write(repository, image_DOT_png=b"\0\1", Makefile="all:\n")
    count = files.count_lines(context)
    assert (count["files"], count["binary_files"]) == (7, 1)
    assert count["languages"] == [
        {"language": "Python", "files": 2, "lines": 2},
        {"language": "JavaScript", "files": 1, "lines": 2},
        {"language": "Other", "files": 1, "lines": 2},
        {"language": "Makefile", "files": 1, "lines": 1},
        {"language": "Markdown", "files": 1, "lines": 1},
        {"language": "Binary", "files": 1, "lines": 0},
    ]
    assert count["lines"] == sum(each["lines"] for each in count["languages"]) == 8
    assert files.count_lines(context, tracked_only=True)["files"] == 4
    assert files.count_lines(context, pattern="*.py", tracked_only=True)["lines"] == 1


def test_counting_agrees_with_other_programs(context: ToolContext, root: Path) -> None:
    write(root, **{f"f{n}_DOT_py": "x\n" * n for n in range(30)})
    listed = subprocess.run(["wc", "-l", *sorted(root.iterdir())], capture_output=True, text=True, check=True).stdout
    assert files.count_lines(context)["lines"] == int(listed.splitlines()[-1].split()[0])


def test_counting_shows_progress_and_stops_when_it_is_cancelled(root: Path, context: ToolContext) -> None:
    write(root, **{f"f{n}": "" for n in range(1001)})
    shown: list[ToolProgress] = []
    context.emit = shown.append
    assert files.count_lines(context)["files"] == 1001
    assert [each.done for each in shown] == [500, 1000]
    context.cancelled.set()
    with pytest.raises(ToolError, match="cancelled after 0 of 1001 files"):
        files.count_lines(context)


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/B.PY", "Python"),
        ("Makefile", "Makefile"),
        ("Dockerfile.dev", "Dockerfile"),
        ("x.tar.gz", "Other"),
        ("a", "Other"),
    ],
)
def test_the_language_follows_from_the_name(path: str, language: str) -> None:
    assert language_of(path) == language


# -- search


def test_hits_are_shown_with_their_places(repository: Path, context: ToolContext) -> None:
    said = search.search_text(context, "^[a-c]$")
    assert said == "a.py:1:a\n[1 hit in 5 files]"
    assert search.search_text(context, "GUIDE", ignore_case=True).startswith("docs/guide.md:1:# Guide\n")
    assert search.search_text(context, "x") == "[no hit in 5 files]"  # the ignored ones are not searched
    assert search.search_text(context, "d", files="*.py").startswith("draft.py:1:d\n")


def test_a_plain_text_may_hold_anything(root: Path, context: ToolContext) -> None:
    write(root, a="f(x[0]) + 1\n")
    assert search.search_text(context, "f(x[0]) +", is_regex=False).startswith("a:1:")
    with pytest.raises(ToolError, match=r"no regular expression: .*is_regex=false"):
        search.search_text(context, "f(x[0]")
    with pytest.raises(ToolError, match="pattern is empty"):
        search.search_text(context, "")


def test_lines_around_a_hit_are_shown_once(root: Path, context: ToolContext) -> None:
    write(root, a="1\n2\nhit\n4\n5\n6\nhit\nhit\n9\n")
    said = search.search_text(context, "hit", context_lines=1).splitlines()
    assert said[:-1] == ["a-2-2", "a:3:hit", "a-4-4", "a-6-6", "a:7:hit", "a:8:hit", "a-9-9"]


def test_hits_come_in_pages(root: Path, context: ToolContext) -> None:
    write(root, a="".join(f"hit {n}\n" for n in range(25)))
    first = search.search_text(context, "hit", limit=10)
    assert first.splitlines()[-2:] == ["a:10:hit 9", "[10 hits shown; there are more: go on with offset=10]"]
    last = search.search_text(context, "hit", offset=20, limit=10).splitlines()
    assert (last[0], last[-1]) == ("a:21:hit 20", "[5 hits, the last ones]")
    assert search.search_text(context, "hit", offset=25) == "[no more hits]"
    assert search.search_text(context, "hit", limit=25).splitlines()[-1] == "[25 hits in 1 files]"


def test_a_long_line_is_shown_around_its_hit(root: Path, context: ToolContext) -> None:
    write(root, a="x" * 10_000 + "needle" + "y" * 10_000)
    line = search.search_text(context, "needle").splitlines()[0]
    assert len(line) < 450
    assert "needle" in line
    assert (line[4], line[-1]) == ("…", "…")


def test_a_form_feed_ends_no_line(root: Path, context: ToolContext) -> None:
    write(root, a="1\n\x0c\u2028\x85\n3 needle\n")
    assert search.search_text(context, "needle").startswith("a:3:")
    assert files.read_file(context, "a", 3) == "3 needle\n"
    assert files.file_stats(context, "a")["lines"] == 3


def test_files_are_found_by_pieces_of_their_path_the_best_first(root: Path, context: ToolContext) -> None:
    write(root, src__driver__loop_DOT_py="", src__loop__driver_test_DOT_py="", loop_driver="", other="")
    found = search.find_files(context, "LOOP driver")
    assert found == {
        "files": ["loop_driver", "src/driver/loop.py", "src/loop/driver_test.py"],
        "total": 3,
    }
    assert search.find_files(context, "loop", limit=1) == {"files": ["loop_driver"], "total": 3}
    with pytest.raises(ToolError, match="words is empty"):
        search.find_files(context, "  ")


# -- text


def test_text_is_counted() -> None:
    assert text.count_text("äb c\nd", "b") == {"characters": 6, "bytes": 7, "words": 3, "lines": 2, "occurrences": 1}
    assert text.count_text("")["occurrences"] is None


def test_lines_are_tallied_the_most_common_first() -> None:
    tally = text.tally_lines("b\na \n\nb\nc\na\n b", 2)
    assert tally == {
        "lines": 6,
        "distinct": 3,
        "most_common": [{"line": "b", "count": 3}, {"line": "a", "count": 2}],
    }


def test_lines_are_picked_by_what_they_hold() -> None:
    lines = "Error: a\nok\nerror: b\nERROR: ignore"
    assert text.pick_lines(lines, "error", "IGNORE") == "Error: a\nerror: b"
    assert text.pick_lines(lines, "error", ignore_case=False) == "error: b"
    assert text.pick_lines(lines, "nothing") == "[no line]"


def test_texts_are_compared() -> None:
    assert text.compare_texts("a\nb\n", "a\nc\n").splitlines() == [
        *("--- before", "+++ after", "@@ -1,2 +1,2 @@", " a", "-b", "+c")
    ]
    assert text.compare_texts("a", "a") == "[the texts are the same]"
    assert "line ends" in text.compare_texts("a", "a\n")
    with pytest.raises(ToolError, match="20,000 lines"):
        text.compare_texts("a\n" * 20_001, "")


# -- git


def test_a_summary_is_true_of_the_repository_and_changes_with_it(repository: Path, context: ToolContext) -> None:
    summary = git.git_summary(context, latest=2)
    assert (summary["is_repository"], summary["is_shallow"], summary["branch"]) == (True, False, "main")
    assert summary["head"] == run_git(repository, "rev-parse", "HEAD").strip()
    assert (summary["commits"], summary["tracked_files"], summary["notes"]) == (3, 4, [])
    assert [each["subject"] for each in summary["latest_commits"]] == ["third", "second: ä | x"]
    assert summary["first_commit"]["subject"] == "first"
    assert summary["authors"] == [{"name": "AUTHOR@x", "commits": 3}]
    assert summary["busiest_files"] == [
        {"path": "a.py", "commits": 3},
        {"path": ".gitignore", "commits": 1},
        {"path": "b.js", "commits": 1},
        {"path": "docs/guide.md", "commits": 1},
    ]
    commit(repository, "fourth", **{"b_DOT_js": "x", "naïve name\n2": "x"})
    commit(repository, "fifth", b_DOT_js="y")
    again = git.git_summary(context, busiest=1)
    assert (again["commits"], again["tracked_files"]) == (5, 6)  # the draft was added too
    assert again["busiest_files"] == [{"path": "a.py", "commits": 3}]
    assert {"path": "naïve name\n2", "commits": 1} in git.git_summary(context)["busiest_files"]


def test_busy_files_agree_with_git(repository: Path, context: ToolContext) -> None:
    run_git(repository, "checkout", "--quiet", "-b", "side")
    commit(repository, "side", side="1")
    run_git(repository, "checkout", "--quiet", "main")
    commit(repository, "main", a_DOT_py="m")
    run_git(repository, "merge", "--quiet", "--no-ff", "--message", "merge", "side")
    run_git(repository, "rm", "--quiet", "b.js")
    commit(repository, "gone")
    commit(repository, "empty")
    listed = run_git(repository, "log", "--format=", "--name-only", "--no-renames").split("\n")
    counts = Counter(name for name in listed if name)
    summary = git.git_summary(context, busiest=100)
    assert {each["path"]: each["commits"] for each in summary["busiest_files"]} == counts
    assert summary["commits"] == int(run_git(repository, "rev-list", "--count", "HEAD")) == 8


def test_a_folder_of_a_repository_has_figures_of_its_own(repository: Path, context: ToolContext) -> None:
    commit(repository, "docs", docs__guide_DOT_md="# More\n")
    summary = git.git_summary(context, "docs")
    assert (summary["commits"], summary["tracked_files"]) == (2, 1)
    assert summary["first_commit"]["subject"] == "first"
    assert summary["busiest_files"] == [{"path": "guide.md", "commits": 2}]
    assert "figures are those of the folder 'docs/'" in summary["notes"][0]


def test_a_shallow_clone_says_so(repository: Path, context: ToolContext) -> None:
    clone = repository.parent / "clone"
    run_git(repository.parent, "clone", "--quiet", "--depth=2", f"file://{repository}", str(clone))
    context.deps = Workspace(clone)
    summary = git.git_summary(context)
    assert (summary["is_shallow"], summary["commits"], summary["first_commit"]) == (True, 2, None)
    assert "shallow clone" in summary["notes"][0]
    assert summary["tracked_files"] == 4


def test_a_folder_without_history_says_so(root: Path, context: ToolContext) -> None:
    write(root, a_DOT_py="1\n")
    summary = git.git_summary(context)
    assert (summary["is_repository"], summary["commits"], summary["latest_commits"]) == (False, 0, [])
    assert summary["notes"][0].startswith("'.' has no git history: not a git repository")
    assert files.count_lines(context, tracked_only=True)["lines"] == 1


def test_a_repository_without_a_commit_says_so(root: Path, context: ToolContext) -> None:
    run_git(root, "init", "--quiet")
    write(root, a="")
    run_git(root, "add", "a")
    summary = git.git_summary(context)
    assert (summary["is_repository"], summary["commits"], summary["tracked_files"]) == (True, 0, 1)
    assert summary["notes"] == ["the repository has no commit yet"]


def test_a_machine_without_git_says_so_and_files_are_listed_all_the_same(
    repository: Path, context: ToolContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert git.git_summary(context)["notes"] == ["'.' has no git history: the program 'git' is not installed"]
    assert files.list_files(context)["files"] == [".gitignore", "a.py", "b.js", "docs/guide.md", "draft.py"]


def test_a_damaged_repository_says_so(repository: Path, context: ToolContext) -> None:
    for entry in (repository / ".git" / "objects").rglob("*"):
        if entry.is_file():
            entry.unlink()
    summary = git.git_summary(context)
    assert summary["is_repository"] is True
    assert summary["commits"] == 0
    assert summary["notes"]


def test_a_detached_head_has_no_branch(repository: Path, context: ToolContext) -> None:
    run_git(repository, "checkout", "--quiet", "--detach", "HEAD~1")
    summary = git.git_summary(context)
    assert (summary["branch"], summary["commits"]) == (None, 2)


def test_links_and_submodules_are_no_files_to_count(repository: Path) -> None:
    (repository / "link").symlink_to("a.py")
    (repository / "nested").mkdir()
    run_git(repository / "nested", "init", "--quiet")
    commit(repository / "nested", "inner", inner="x")
    run_git(repository, "add", "link")
    names = files_under(Workspace(repository), ".")
    assert "link" not in names
    assert not any(name.startswith("nested") for name in names)
