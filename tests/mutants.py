"""Small changes to the repair, and which of them no test notices: what the tests do not hold.

``python tests/mutants.py respfix/stream/door.py`` makes every change below in this file, one at a time, and lists those
that nothing notices; without a file it takes a sample of the whole room. Each is tried in a fork that imports the
changed module: first on the corpus, which notices most of them in a blink, then by the tests that are quick.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import resource
import sys
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

import pytest

ROOT = Path(__file__).parents[1]
TESTS = "rules mender echoes hazards frames stencil asked unfold messages remainder splice corpus hostile_bytes"
LONG = "small_reads or two_reads or every_cut or cut_anywhere or every_two_cuts or the_new_text or the_short_way_gives"
LONG += " or no_value_of_the_wrong_kind or cost or 200_000 or thousand"
MEMORY, SECONDS = 2 * 2**30, 90  # for one change; what takes more has no end
SWAPS = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)),
    *((ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.FloorDiv), (ast.BitOr, ast.BitAnd)),
    (ast.Break, ast.Continue),
)
OTHER: dict[type[ast.AST], type[ast.AST]] = {one: other for pair in SWAPS for one, other in (pair, pair[::-1])}
FOR_READERS = {"annotation", "returns", "decorator_list"}
# What is said of clients is asked of the clients, in test_defects.py.
FACTS = {"__all__", "GROUPS", "_of"}


@dataclass(frozen=True, slots=True)
class Change:
    """One small change."""

    path: Path
    words: str
    make: Callable[[], None]  # in the tree of the file


def said(node: ast.AST) -> str:
    """Give a node's text, on one line."""
    is_text = isinstance(node, ast.expr | ast.stmt)
    return " ".join(ast.unparse(ast.fix_missing_locations(node)).split()) if is_text else type(node).__name__


def others(node: ast.AST) -> Iterator[ast.AST]:
    """Give what might stand in a node's place by mistake."""
    if type(node) in OTHER:
        yield OTHER[type(node)]()
    match node:
        case ast.Constant(value=value):
            yield from (ast.Constant(other) for other in values(value))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.AugAssign(target=target, value=value):
            yield ast.Assign([target], value)
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield ast.Pass()
        case ast.Call():
            yield from calls(node)
        case ast.Return() | ast.Assign() | ast.AnnAssign():
            if node.value is not None and said(node.value) != "None":
                yield changed(node, value=ast.Constant(None))


def values(value: object) -> Iterator[bool | int | bytes | str]:
    """Give another value of the same kind."""
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case bytes():
            yield b"XX" + value
        case str() if " " not in value:  # sentences are for people
            yield f"XX{value}"


def calls(call: ast.Call) -> Iterator[ast.AST]:
    """Give a call with another argument, or without one."""
    for place, argument in enumerate(call.args):
        if said(argument) != "None" and not isinstance(argument, ast.Starred):
            yield changed(call, args=[*call.args[:place], ast.Constant(None), *call.args[place + 1 :]])
    for keyword in call.keywords:
        yield changed(call, keywords=[other for other in call.keywords if other is not keyword])


def changed(node: ast.AST, **fields: object) -> ast.AST:
    """Give a copy of a node that differs in these fields."""
    other = copy(node)
    for field, value in fields.items():
        setattr(other, field, value)
    return other


def is_left(node: ast.AST) -> bool:
    """Nothing of it happens when the program runs, or it is a fact that is tested elsewhere."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")) | ast.Expr(value=ast.Constant()):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name in FACTS
        case ast.FunctionDef(name=name):
            return name in FACTS
    return isinstance(node, ast.Import | ast.ImportFrom)


def changes(path: Path, node: ast.AST, line: int = 0) -> Iterator[Change]:
    """Give every change below one node of a file's tree."""
    for field, value in ast.iter_fields(node):
        places = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for place, child in places:
            if not isinstance(child, ast.AST) or field in FOR_READERS or is_left(child):
                continue
            at = getattr(child, "lineno", line)
            before = child if isinstance(child, ast.expr | ast.stmt) else node
            for other in others(child):
                make = partial(setattr, node, field) if place is None else partial(value.__setitem__, place)
                yield Change(path, f"{path.name}:{at}: {said(before)}  ->  {said(other)}", partial(make, other))
            yield from changes(path, child, at)


def put_in_place(path: Path, tree: ast.Module) -> None:
    """From now on, whoever imports this file gets the changed tree."""

    class Changed(SourceFileLoader):
        def get_code(self, fullname: str) -> CodeType | None:
            is_it = Path(self.path) == path
            return compile(ast.fix_missing_locations(tree), self.path, "exec") if is_it else super().get_code(fullname)

    class Finder(PathFinder):
        @classmethod
        def find_spec(cls, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
            spec = super().find_spec(fullname, path, target)  # type: ignore[arg-type]
            if spec is None or spec.origin is None or not fullname.startswith("respfix."):
                return None
            spec.loader = Changed(fullname, spec.origin)
            return spec

    sys.meta_path.insert(0, Finder)


def is_noticed_by_corpus() -> bool:
    """Does a pair of the corpus, or a healthy stream, leave otherwise?"""
    corpus = importlib.import_module("corpus")
    for stream in sorted((*corpus.BROKEN, *corpus.CONFORMANT), key=lambda stream: len(stream.body)):
        expected = corpus.outcome(stream).read_bytes() if stream in corpus.BROKEN else stream.body
        beginning = [stream.body[at : at + 7] for at in range(0, 7000, 7)]
        for reads in ([stream.body], [*beginning, stream.body[7000:]]):
            mended = corpus.mend_pieces(reads, stream.options(), stream.ending)
            if expected != mended.body or stream.defects != tuple(sorted(mended.report.defects)):
                return True
    return False


def survives(change: Change, tree: ast.Module) -> bool:
    """Try a change in a fork; one that breaks the import, or has no end, is noticed."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        change.make()
        put_in_place(change.path, tree)
        files = [f"{ROOT}/tests/test_{name}.py" for name in TESTS.split()]
        words = ["-xq", "-p", "no:cacheprovider", "-k", f"not ({LONG})"]
        status = 1 if is_noticed_by_corpus() else int(pytest.main([*words, *files]))
    finally:
        os._exit(status)


def main() -> int:
    """Try all changes of the files that are named, or a sample of the whole room."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--sample", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    paths = map(Path.resolve, asked.files) if asked.files else sorted((ROOT / "respfix" / "stream").glob("*.py"))
    trees = {path: ast.parse(path.read_text()) for path in paths}
    every = [change for path, tree in trees.items() for change in changes(path, tree)]
    size = len(every) if asked.files else min(asked.sample, len(every))
    left = 0
    for change in random.Random(asked.seed).sample(every, size):  # noqa: S311
        if survives(change, trees[change.path]):
            left += 1
            sys.stdout.write(f"{change.words}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{left} of {size} changes were noticed by nothing; there are {len(every)}.\n")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
