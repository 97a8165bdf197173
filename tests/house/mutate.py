"""Mutation testing: change one thing in a module, run its tests, list what no test noticed.

    python tests/house/mutate.py [MODULE ...]        make mutants

A mutant that survives is a rule without a test, or a change without a difference. Those of the second
kind are explained in ``docs/mutants.md``; any other makes this command fail.
"""

from __future__ import annotations

import ast
import copy
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

import glm_agent.errors
import glm_agent.messages  # noqa: F401  # loaded once, for all mutants

ROOT = Path(__file__).parents[2]
EXPLAINED = ROOT / "docs" / "mutants.md"
TESTS = {
    "turn": "tests/test_turn.py",
    "permissions": "tests/test_permissions.py",
    "context": "tests/test_context.py",
    "models.glm.http1": "tests/test_models_http1.py",
}
"""Modules that hold rules, and the tests that must notice a change in them."""
TIMEOUT_SECONDS = 60
MEMORY_BYTES = 2_000_000_000
PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    module: str
    place: str
    """Function or class in which the change is."""
    change: str
    source: str

    def __str__(self) -> str:
        return f"`{self.module}` `{self.place}`: {self.change}"


# -- changes of one node: each yields (new node, or None to drop it) -----------------------------------


def changes(node: ast.AST) -> Iterator[ast.AST | None]:  # noqa: PLR0912
    """Everything that can be done to one node, each on its own copy."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield _with(node, ops=[COMPARISONS[type(op)]()])
        case ast.BoolOp(op=op, values=values):
            yield _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            yield from values
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield _with(node, op=OPERATORS[type(operator)]())
        case ast.If() | ast.IfExp() | ast.While():
            yield _with(node, test=ast.Constant(value=True))
            yield _with(node, test=ast.Constant(value=False))
        case ast.Constant(value=bool()):
            yield ast.Constant(value=not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(value=node.value + 1)
        case ast.Constant(value=str()):
            yield ast.Constant(value=f"{node.value}?")
        case ast.Return(value=ast.expr()):
            yield _with(node, value=ast.Constant(value=None))
        case ast.Call(func=func, args=args, keywords=keywords):
            for keyword in keywords:
                yield _with(node, keywords=[other for other in keywords if other is not keyword])
            if len(args) == 1 and isinstance(func, ast.Name) and func.id != "set":
                yield args[0]
        case ast.comprehension(ifs=[*tests]):
            for test in tests:
                yield _with(node, ifs=[other for other in tests if other is not test])
        case ast.Tuple(elts=items) | ast.List(elts=items):
            for item in items:
                yield _with(node, elts=[other for other in items if other is not item])
        case ast.Dict(keys=keys, values=values):
            for n in range(len(keys)):
                yield _with(node, keys=keys[:n] + keys[n + 1 :], values=values[:n] + values[n + 1 :])
        case ast.Match(cases=cases):
            for case in cases:
                yield _with(node, cases=[other for other in cases if other is not case])
        case ast.Slice():
            yield _with(node, lower=None, upper=None)
        case ast.Assign() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break() | ast.Expr():
            yield ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


# -- all mutants of a module --------------------------------------------------------------------------


def mutants(module: str) -> Iterator[Mutant]:
    tree = ast.parse((ROOT / "glm_agent" / f"{module.replace('.', '/')}.py").read_text())
    for place, node, put in _places(tree, ""):
        for changed in changes(node):
            put(changed)
            try:
                source = ast.unparse(ast.fix_missing_locations(copy.deepcopy(tree)))
                compile(source, module, "exec")
            except (SyntaxError, ValueError, IndexError):
                continue  # such as a tuple pattern without its only name
            finally:
                put(node)
            yield Mutant(module, place, f"{_short(node)} → {_short(changed)}", source)


def _places(node: ast.AST, place: str) -> Iterator[tuple[str, ast.AST, Callable[[object], None]]]:
    """Every node that may be changed, with how to put another one in its place."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params", "pattern", "type_comment"):
            continue
        for child, put in _children(node, name, value):
            if isinstance(child, ast.Import | ast.ImportFrom) or _is_text(child) or _is_type(child, parent=node):
                continue
            inside = f"{place}.{child.name}".lstrip(".") if isinstance(child, ast.FunctionDef | ast.ClassDef) else place
            yield inside, child, put
            yield from _places(child, inside)


def _children(node: ast.AST, name: str, value: object) -> Iterator[tuple[ast.AST, Callable[[object], None]]]:
    if isinstance(value, ast.AST):
        yield value, lambda new: setattr(node, name, new)
    elif isinstance(value, list):
        for n, item in enumerate(value):
            if isinstance(item, ast.AST):
                yield item, lambda new, n=n: value.__setitem__(n, new)


def _is_text(node: ast.AST) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_type(node: ast.AST, *, parent: ast.AST) -> bool:
    """A word for type checkers only: ``Literal[…]``, ``set[str]``, an alias, the first argument of ``cast``."""
    match node, parent:
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")), _:
            return True
        case ast.Assign(value=ast.Subscript() as value), _:
            return _is_type(value, parent=node)
        case ast.Subscript(value=ast.Name(id="Literal" | "set" | "dict" | "list" | "tuple")), _:
            return True
        case _, ast.Call(func=ast.Name(id="cast"), args=[first, *_]):
            return node is first
    return False


def _short(node: ast.AST | None) -> str:
    if node is None:
        return "(nothing)"
    if isinstance(node, ast.If | ast.While):
        return f"`{type(node).__name__.lower()} {ast.unparse(node.test)}`"
    if isinstance(node, ast.Match):
        return f"`match` with {', '.join(ast.unparse(case.pattern) for case in node.cases)}"
    text = " ".join(ast.unparse(node).split()) or "(nothing)"
    return f"`{text if len(text) <= 100 else text[:97] + '...'}`"


# -- running ------------------------------------------------------------------------------------------


def survivors(all_mutants: Iterable[Mutant]) -> Iterator[Mutant]:
    """Mutants that all tests of their module pass over; as many at once as there are processors."""
    running: dict[int, Mutant] = {}
    waiting = iter(all_mutants)
    while True:
        running |= {_fork(mutant): mutant for mutant in islice(waiting, (os.cpu_count() or 1) - len(running))}
        if not running:
            return
        process, status = os.wait()
        mutant = running.pop(process)
        if status == 0:
            yield mutant


def _fork(mutant: Mutant) -> int:
    """Test one mutant in a process of its own, which has all libraries loaded and nothing of ours."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        # A change may make a loop endless.
        signal.alarm(TIMEOUT_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(silence, stream)
        _install(mutant)
        status = pytest.main([*PYTEST, str(ROOT / TESTS[mutant.module])])
    finally:
        os._exit(status)


def _install(mutant: Mutant) -> None:
    name = f"glm_agent.{mutant.module}"
    module = sys.modules[name] = ModuleType(name)
    exec(compile(mutant.source, name, "exec"), module.__dict__)


def is_sharp(module: str) -> bool:
    """Whether the tests fail where the module is empty and pass where it is whole: else no figure means anything."""
    source = (ROOT / "glm_agent" / f"{module.replace('.', '/')}.py").read_text()
    empty, whole = Mutant(module, "", "empty", ""), Mutant(module, "", "whole", source)
    return list(survivors([empty, whole])) == [whole]


def main() -> int:
    chosen = sys.argv[1:] or list(TESTS)
    # No shrinking, no clock, no chance: that a test fails is enough, and it fails the next time too.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", deadline=None, database=None, derandomize=True, phases=phases)
    hypothesis.settings.load_profile("mutants")
    if blunt := [module for module in chosen if not is_sharp(module)]:
        print(f"the tests of {', '.join(blunt)} do not tell a whole module from an empty one: mend them first")
        return 2
    all_mutants = [mutant for module in chosen for mutant in mutants(module)]
    alive = list(survivors(all_mutants))
    explained = EXPLAINED.read_text() if EXPLAINED.exists() else ""
    unexplained = [mutant for mutant in alive if str(mutant) not in explained]
    print(f"{len(all_mutants)} mutants, {len(alive)} survived, {len(unexplained)} of them unexplained")
    for mutant in unexplained:
        print(f"- {mutant}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
