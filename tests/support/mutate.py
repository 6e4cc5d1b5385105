"""The mutants of a module: the same code with one small fault in it, of the kinds that the flow could suffer from.

Left out is what no requirement speaks of: log lines, the wording of errors, docstrings, annotations.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import CodeType
from typing import Any, NamedTuple

_PAIRS = [(ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn)]
_SWAPPED: dict[type[ast.AST], Any] = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_SWAPPED |= {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Mod: ast.FloorDiv}
_OTHER = {"min": "max", "max": "min"}
# One condition of DynamoDB's, and one assignment or name of an update.
_CONDITION = r"(?:\w+\(#\w+\)|[#:]\w+ (?:=|<>|<=?) :\w+|\((?:[^()]|\([^()]*\))*\))"
_CLAUSES = [
    re.compile(rf" (?:AND|OR) {_CONDITION}"),
    re.compile(rf"{_CONDITION} (?:AND|OR) "),
    re.compile(r", #\w+(?: = [^,#]+)?(?=,| REMOVE| ADD|$)"),
    re.compile(r"(?<=[TE] )#\w+(?: = :\w+)?, "),
]

Put = Callable[[ast.AST], None]


class Mutant(NamedTuple):
    """`tree` is the module with the fault, until the next mutant is asked for.

    The fault is in `function`, or outside of all functions where that is None.
    """

    name: str
    function: str | None
    tree: ast.Module

    def code(self, module: str) -> CodeType:
        return compile(ast.fix_missing_locations(self.tree), f"callback/{module}.py", "exec")


def mutants(source: str, module: str) -> Iterator[Mutant]:
    """Make each mutant of a module's source; its name is the same while the code around it changes."""
    tree, names = ast.parse(source), Counter[str]()
    for function, node, parent, put in list(_places(tree, None)):
        for what, variant in _variants(node, parent):
            name = f"{module}.{function}: {what}" if function else f"{module}: {what}"
            names[name] += 1
            put(ast.copy_location(variant, node))
            yield Mutant(name if names[name] == 1 else f"{name} ({names[name]})", function, tree)
            put(node)


def _places(node: ast.AST, function: str | None, path: str = "") -> Iterator[tuple[str | None, Any, ast.AST, Put]]:
    """Find what may be faulty: in which function, in which node, and how another takes its place."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "args", "decorator_list", "bases"} and not isinstance(node, ast.Call):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _is_wording(child, node):
                continue
            yield function, child, node, partial(_put, node, field, index)
            inner = f"{path}{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef) else ""
            named = function or (inner if isinstance(child, ast.FunctionDef) else None)
            yield from _places(child, named, f"{inner}." if inner else path)


def _put(parent: ast.AST, field: str, index: int, node: ast.AST) -> None:
    if isinstance(getattr(parent, field), list):
        getattr(parent, field)[index] = node
    else:
        setattr(parent, field, node)


def _is_wording(node: ast.AST, parent: ast.AST) -> bool:
    if isinstance(parent, ast.Dict) and node in parent.keys:
        return True  # a key is dropped with its value
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or ast.unparse(node).startswith("log.bind(")
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and "#" not in node.value:
        return node.value.count(" ") > 1
    if isinstance(node, ast.AnnAssign):
        return node.value is None or ast.unparse(node.value).startswith("field(")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(parent, ast.Raise) or ast.unparse(node).startswith(("Literal[", "super().__init__("))


def _variants(node: Any, parent: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Name each fault that a node can have, and make it."""
    match node:
        case ast.If() | ast.IfExp() | ast.While():
            yield f"not ({ast.unparse(node.test)})", _but(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.Raise() | ast.AugAssign() | ast.Expr():
            code = ast.unparse(node)
            # The name alone keeps the cell that a function with `super()` has, and without which none takes its place.
            yield f"without `{code}`", ast.Expr(ast.Name("super", ast.Load())) if "super()" in code else ast.Pass()
        case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
            yield f"nothing for `{ast.unparse(node)}`", _but(node, value=None)
        case ast.ExceptHandler(type=ast.expr() as kind):
            yield f"`{ast.unparse(kind)}` not caught", _but(node, body=[ast.Raise()])
        case ast.Dict():
            for pair, rest in _without_each(list(zip(node.keys, node.values, strict=True))):
                keys, values = map(list, zip(*rest, strict=True)) if rest else ([], [])
                yield f"without `{_pair(*pair)}`", _but(node, keys=keys, values=values)
        case ast.expr():
            for variant in _others(node, parent):
                yield f"`{ast.unparse(node)}` is `{ast.unparse(variant)}`", variant
    for given, rest in _without_each(node.keywords) if isinstance(node, ast.Call) else ():
        yield f"without `{ast.unparse(given)}` of `{ast.unparse(node.func)}`", _but(node, keywords=rest)


def _pair(key: ast.expr | None, value: ast.expr) -> str:
    return f"{ast.unparse(key)}: {ast.unparse(value)}" if key else f"**{ast.unparse(value)}"


def _others(node: Any, parent: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _SWAPPED:
            yield _but(node, ops=[_SWAPPED[type(op)]()])
        case ast.BinOp(op=ast.BitOr()):
            yield node.left
        case ast.BinOp() if type(node.op) in _SWAPPED:
            yield _but(node, op=_SWAPPED[type(node.op)]())
        case ast.BoolOp():
            for _, rest in _without_each(node.values):
                yield _but(node, values=rest) if len(rest) > 1 else rest[0]
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Tuple() if isinstance(parent, ast.ExceptHandler):
            yield from (_but(node, elts=rest) for _, rest in _without_each(node.elts))
        case ast.Call(func=ast.Name(id=name)) if name in _OTHER:
            yield _but(node, func=ast.Name(_OTHER[name], ast.Load()))
        case ast.Constant() if not isinstance(parent, ast.Subscript) or isinstance(node.value, int):
            yield from map(ast.Constant, _values(node.value))


def _without_each(parts: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    for part in parts:
        yield part, [other for other in parts if other is not part]


def _but(node: Any, **fields: Any) -> Any:
    return type(node)(**vars(node) | fields)


def _values(value: object) -> Iterator[Any]:
    match value:
        case bool():
            yield not value
        case int():
            yield value + 1
        case str() if "#" in value:
            yield from _conditions(value)
        case str():
            yield f"{value}~"


def _conditions(text: str) -> Iterator[str]:
    """An expression of DynamoDB's without one of its clauses, or with another bound."""
    found = {text[: m.start()] + text[m.end() :]: None for clause in _CLAUSES for m in clause.finditer(text)}
    for bound in re.finditer("<=|<(?!>)", text):
        found[text[: bound.start()] + ("<" if bound[0] == "<=" else "<=") + text[bound.end() :]] = None
    yield from found
