"""What can be told of a template of Jinja2 without rendering it. It runs in a worker: a template can be made to take long to parse."""

from collections.abc import Iterator
from typing import Any

from jinja2 import TemplateSyntaxError, meta, nodes
from jinja2.environment import Environment

# What would bring in another template.
_OTHERS = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
# With one of these a template looks itself what there is.
_ASKING_TESTS = frozenset({"filter", "test"})
_GUARDING_TESTS = frozenset({"defined", "undefined"})
_GUARDING_FILTERS = frozenset({"default", "d"})


def check_template(environment: Environment, source: str) -> dict[str, Any]:
    """The first fault of a template, as `{"message": text, "line": int | null}`; for one without, the names that it needs from outside and
    does without no word, as `{"names": [[name, line], …]}`.
    """
    try:
        # What this refuses is not all in the grammar: filters that are not there, a name taken twice.
        environment.compile(source)
        tree = environment.parse(source)
    except TemplateSyntaxError as error:
        return {"message": error.message or "it cannot be parsed", "line": error.lineno}
    except SyntaxError as error:
        return {"message": error.msg, "line": None}
    other = next(iter(tree.find_all(_OTHERS)), None)
    if other is not None:
        return {"message": "It asks for another template, and there is none.", "line": other.lineno}
    missing = next(_missing(environment, tree), None)
    if missing is not None:
        return {"message": f"No {type(missing).__name__.lower()} named {missing.name!r}.", "line": missing.lineno}
    wanted = meta.find_undeclared_variables(tree) - environment.globals.keys() - set(_guarded(tree))
    lines: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        if name.name in wanted:
            lines.setdefault(name.name, name.lineno)
    return {"names": [[name, line] for name, line in lines.items()]}


def _missing(environment: Environment, tree: nodes.Template) -> Iterator[Any]:
    """Filters and tests that are not there. Jinja2 itself looks for those in a branch only when it comes there."""
    if any(test.name in _ASKING_TESTS for test in tree.find_all(nodes.Test)):
        return
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        if each.name not in (environment.filters if isinstance(each, nodes.Filter) else environment.tests):
            yield each


def _guarded(tree: nodes.Template) -> Iterator[str]:
    """Names that may well be missing: the template asks whether they are there, or has something to take their place."""
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        if each.name in (_GUARDING_FILTERS if isinstance(each, nodes.Filter) else _GUARDING_TESTS):
            held: Any = each.node
            while isinstance(held, nodes.Getattr | nodes.Getitem):
                held = held.node
            if isinstance(held, nodes.Name):
                yield held.name
