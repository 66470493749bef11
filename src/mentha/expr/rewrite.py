"""From the syntax tree of an expression to the code that the sandbox runs.

    _.user.name        → __p(0)                  a path into the context: its value is sent
    f(x).name          → __ga(f(x), 'name')      keys of dictionaries as attributes
    _.items()          → __p(0).items()          where something is called, methods come before keys
    json.loads(x)      → __json.loads(…)          modules of our table, never others
    f"{x:.2f} EUR"     → __cat(__fmt(x, '.2f'), ' EUR')

F-strings become calls because their rewritten parts hold quotes that this Python's own `ast.unparse` could not always nest.
"""

import ast
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast

from mentha.expr.names import (
    ABSENT,
    BOX_METHODS,
    CLASSES,
    CONSTANTS,
    DICT_METHODS,
    GLOBALS,
    MODULES,
    OF_TYPES,
    REFUSED_METHODS,
    TYPES,
    VALUE_METHODS,
    members,
)
from mentha.expr.paths import Path, did_you_mean, path_of

_REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.NamedExpr: ("assigns a name", "use a set step, or write the value twice"),
    ast.Await: ("waits", "expressions have nothing to wait for"),
    ast.Yield: ("yields", "write a comprehension"),
    ast.YieldFrom: ("yields", "write a comprehension"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an expression is refused. `issue_type` is a stable name; line and column count from 1 in the expression's own text."""

    issue_type: str
    message: str
    fix: str | None
    line: int
    column: int


@dataclass(slots=True)
class Code:
    """What one expression became.

    Attributes:
        text: code of the sandbox on one line; paths are `__p(index)`.
        needs: pieces of the prelude.
        paths: what of the context it reads.
        roots: where each name of the context stands: name, line, column.
        problems: why it must not run; then `text` means nothing.
    """

    text: str = ""
    needs: set[str] = field(default_factory=set[str])
    paths: list[Path] = field(default_factory=list[Path])
    roots: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    problems: list[Problem] = field(default_factory=list[Problem])


def rewrite(tree: ast.expr) -> Code:
    """`tree` as code of the sandbox."""
    code = Code()
    try:
        body = _Rewriter(code).visit(tree)
        if not code.problems:
            code.text = ast.unparse(ast.fix_missing_locations(body))
    except ValueError as error:
        code.problems.append(Problem("number_too_long", str(error), "write it as a power", 1, 1))
    except RecursionError:
        code.problems.append(Problem("nested_too_deeply", "is nested too deeply", "compute in several steps", 1, 1))
    return code


def rewrite_joined(pieces: Sequence[str | ast.expr]) -> Code:
    """Texts and expressions in order, as code that joins them."""
    values: list[ast.expr] = [
        ast.Constant(piece) if isinstance(piece, str) else ast.FormattedValue(value=piece, conversion=-1) for piece in pieces
    ]
    return rewrite(ast.JoinedStr(values))


class _Rewriter(ast.NodeTransformer):
    """Collects into a `Code` while it rewrites. Every node is made anew: trees are cached by nobody but shared by guesses."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._bound: list[set[str]] = []
        self._places: dict[Path, int] = {}

    def visit(self, node: ast.AST) -> ast.AST:
        if type(node) in _REFUSED:
            what, fix = _REFUSED[type(node)]
            self._refuse(node, "construct", f"{what}, which an expression cannot", fix)
        return super().visit(node)

    # Names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = node.id
        if name.startswith("__"):
            return self._refuse(node, "undefined_name", f"name '{name}' is not defined", ABSENT.get(name))
        if isinstance(node.ctx, ast.Store) or self._is_bound(name):
            return node
        if name in CONSTANTS:
            return ast.Constant(CONSTANTS[name])  # pyright: ignore[reportArgumentType] - all are text, true, false or null
        if name in GLOBALS:
            return self._global(name)
        if name in MODULES:
            return self._refuse(node, "module_as_value", f"'{name}' is a module", f"name what you want of it: {name}.{members(name)[0]}")
        return self._path(Path(name), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        member = self._of_module(node)
        if member is not None:
            return _as_value(member)
        found = self._name_of_type(node) or self._context_path(node)
        if found is not None:
            return found
        if self._is_private(node):
            return node
        value = cast("ast.expr", self.visit(node.value))
        if node.attr in DICT_METHODS | VALUE_METHODS:
            self._code.needs.add("method")
            # The value stands here once: written twice, it would double with each method after it.
            return _call("__gm", value, ast.Constant(node.attr), _unbound(node.attr))
        self._code.needs.add("attribute")
        return _call("__ga", value, ast.Constant(node.attr))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        return self._context_path(node) or self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in BOX_METHODS and not node.args and not node.keywords:
            self._code.needs.add("to")
            return _call("__to", self._one(function.value), ast.Constant(function.attr))
        return ast.Call(self._called(node), self._all(node.args), [ast.keyword(k.arg, self._one(k.value)) for k in node.keywords])

    def _called(self, node: ast.Call) -> ast.expr:
        function = node.func
        if not isinstance(function, ast.Attribute):
            return self._one(function)
        member = self._of_module(function)
        if member is not None:
            return self._constructor(member)
        return function if self._is_private(function) else self._method(function)

    def _method(self, function: ast.Attribute) -> ast.expr:
        """What is called by name on a value, or on a type: `str.upper('a')`."""
        if self._type_of(function):
            return function if function.attr in OF_TYPES else self._one(function)
        if function.attr.startswith("_"):
            return self._refuse(function, "private_attribute", f"method '{function.attr}' is not available", None)
        return ast.Attribute(self._one(function.value), function.attr, ast.Load())

    def _constructor(self, member: ast.expr) -> ast.expr:
        match member:
            case ast.Attribute(attr="timedelta", value=ast.Name(id="__datetime")):
                self._code.needs.add("timedelta")
                return ast.Name("__timedelta", ast.Load())
            case _:
                return member

    # Scopes

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        names = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
        arguments = ast.arguments(
            posonlyargs=node.args.posonlyargs,
            args=node.args.args,
            vararg=node.args.vararg,
            kwonlyargs=node.args.kwonlyargs,
            kw_defaults=[None if default is None else self._one(default) for default in node.args.kw_defaults],
            kwarg=node.args.kwarg,
            defaults=self._all(node.args.defaults),
        )
        with self._scope({name.arg for name in names}, node):
            return ast.Lambda(arguments, self._one(node.body))

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node, node.generators)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node, node.generators)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node, node.generators)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._comprehension(node, node.generators)

    def _comprehension(self, node: ast.expr, generators: list[ast.comprehension]) -> ast.AST:
        bound: set[str] = set()
        for generator in generators:
            for target in ast.walk(generator.target):
                if isinstance(target, ast.Name):
                    bound.add(target.id)
                elif not isinstance(target, ast.Tuple | ast.List | ast.Starred | ast.Store | ast.Load):
                    return self._refuse(node, "construct", "stores into something", "give the items of a comprehension a name")
            if generator.is_async:
                return self._refuse(node, "construct", "waits, which an expression cannot", "leave out `async`")
        # The first `in` is evaluated outside: `[_ for _ in _]`.
        first = self._one(generators[0].iter)
        with self._scope(bound, node):
            made = [
                ast.comprehension(g.target, self._one(g.iter) if index else first, self._all(g.ifs), 0)
                for index, g in enumerate(generators)
            ]
            if isinstance(node, ast.DictComp):
                return ast.DictComp(self._one(node.key), self._one(node.value), made)
            comprehension = cast("ast.ListComp | ast.SetComp | ast.GeneratorExp", node)
            return type(comprehension)(self._one(comprehension.elt), made)

    @contextmanager
    def _scope(self, names: set[str], node: ast.expr) -> Generator[None]:
        if any(name.startswith("__") for name in names):
            self._refuse(node, "construct", "names something with two underscores", "choose another name")
        self._bound.append(names)
        try:
            yield
        finally:
            self._bound.pop()

    def _is_bound(self, name: str) -> bool:
        return any(name in names for names in self._bound)

    # F-strings

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self._code.needs.update(("cat", "fmt"))
        return _call("__cat", *(self._piece(value) for value in node.values))

    def _piece(self, value: ast.expr) -> ast.expr:
        if not isinstance(value, ast.FormattedValue):
            return value
        piece = self._one(value.value)
        if value.conversion in (ord("r"), ord("a")):
            piece = _call("__repr", piece)
        elif value.conversion == ord("s"):
            piece = _call("__str", piece)
        return piece if value.format_spec is None else _call("__fmt", piece, self._one(value.format_spec))

    # What stands for a name

    def _global(self, name: str) -> ast.expr:
        entry = GLOBALS[name]
        self._code.needs.update(entry.needs)
        return _code(entry.code)

    def _of_module(self, node: ast.Attribute) -> ast.expr | None:
        """What a chain such as `datetime.timezone.utc` stands for, with further attributes of its value after it."""
        chain = _chain(node)
        if chain is None or chain[0] not in MODULES or self._is_bound(chain[0]):
            return None
        for length in range(len(chain), 1, -1):
            name = ".".join(chain[:length])
            if name in GLOBALS and (length == len(chain) or GLOBALS[name].code not in CLASSES):
                value = self._global(name)
                for attribute in chain[length:]:
                    value = ast.Attribute(value, attribute, ast.Load())
                if any(attribute.startswith("_") for attribute in chain[length:]):
                    self._refuse(node, "private_attribute", f"'{'.'.join(chain)}' is private", None)
                return value
        module = ".".join(chain[:-1])
        has = members(module) or members(chain[0])
        fix = f"use one of {', '.join(has[:12])}" + (", …" if len(has) > 12 else "")
        self._refuse(node, "unknown_member", f"'{'.'.join(chain)}' does not exist{did_you_mean(chain[-1], has)}", fix)
        return node

    def _type_of(self, node: ast.Attribute) -> str | None:
        value = node.value
        return value.id if isinstance(value, ast.Name) and value.id in TYPES and not self._is_bound(value.id) else None

    def _name_of_type(self, node: ast.Attribute) -> ast.expr | None:
        """`type(x).__name__`, the one attribute with underscores that is harmless, and `str.upper` as a function."""
        match node:
            case ast.Attribute(attr="__name__", value=ast.Call(func=ast.Name(id="type"), args=[_], keywords=[])):
                return ast.Attribute(self._one(node.value), "__name__", ast.Load())
            case ast.Attribute() if self._type_of(node) and not node.attr.startswith("_") and node.attr not in OF_TYPES | REFUSED_METHODS:
                return _unbound(node.attr)
            case _:
                return None

    def _context_path(self, node: ast.expr) -> ast.expr | None:
        path = path_of(node)
        if path is None or self._is_bound(path.root) or path.root in GLOBALS or path.root in MODULES or path.root in CONSTANTS:
            return None
        return None if path.root.startswith("__") else self._path(path, node)

    def _path(self, path: Path, node: ast.expr) -> ast.expr:
        code = self._code
        code.needs.add("data")
        code.roots.append((path.root, _line(node), _column(node)))
        if path not in self._places:
            self._places[path] = len(code.paths)
            code.paths.append(path)
        return _call("__p", ast.Constant(self._places[path]))

    def _is_private(self, node: ast.Attribute) -> bool:
        if node.attr.startswith("__") or node.attr in REFUSED_METHODS:
            self._refuse(node, "private_attribute", f"attribute '{node.attr}' is not available", "for a key write value['name']")
            return True
        return False

    def _refuse(self, node: ast.AST, issue_type: str, message: str, fix: str | None) -> ast.expr:
        self._code.problems.append(Problem(issue_type, message, fix, _line(node), _column(node)))
        return ast.Constant(None)

    def _one(self, node: ast.expr) -> ast.expr:
        return cast("ast.expr", self.visit(node))

    def _all(self, nodes: list[ast.expr]) -> list[ast.expr]:
        return [self._one(node) for node in nodes]


def _chain(node: ast.expr) -> list[str] | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else None


def _call(name: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


def _as_value(member: ast.expr) -> ast.expr:
    """A function of a class, such as `datetime.now`, as a value: the sandbox has them as calls only."""
    match member:
        case ast.Attribute(attr=name, value=ast.Attribute(value=ast.Name(id="__datetime"))) if name not in ("min", "max", "utc"):
            return ast.parse(f"lambda *__a, **__k: {ast.unparse(member)}(*__a, **__k)", mode="eval").body
        case _:
            return member


def _unbound(name: str) -> ast.expr:
    """A method as a function of its object: the sandbox has no bound methods as values."""
    return _code(f"lambda o, *a, **k: o.{name}(*a, **k)")


@lru_cache(512)
def _code(text: str) -> ast.expr:
    """Code of ours as a tree, which nobody changes."""
    return ast.parse(text, mode="eval").body


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 1)


def _column(node: ast.AST) -> int:
    return getattr(node, "col_offset", 0) + 1
