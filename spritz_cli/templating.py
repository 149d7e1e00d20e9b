"""The only module that imports Jinja2: texts and scenes run in its sandbox."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    UndefinedError,
    nodes,
)
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, Macro
from jinja2.sandbox import SandboxedEnvironment

from spritz_cli.errors import UsageError
from spritz_cli.formatting import FILTERS

__all__ = [
    "MAX_SOURCE",
    "TemplateError",
    "evaluate",
    "page_environment",
    "render_scene",
    "render_text",
    "scene_environment",
    "text_environment",
]

MAX_SOURCE = 2_000

#: The folder of the macros that scenes share; a macro there does not see a scene's variables.
KIT = "kit"

#: Size of the cache of macro results.
KEPT_MACRO_CALLS = 5_000

#: Size of the cache of compiled texts, about 10 kB each.
KEPT_TEXTS = 500

#: Jinja2's own filters that a text may use; the output of each is bounded.
_PLAIN_FILTERS = (
    "abs",
    "capitalize",
    "first",
    "join",
    "last",
    "length",
    "lower",
    "map",
    "max",
    "min",
    "sum",
    "upper",
)

#: Errors that a text can cause in Jinja2, in Python's compiler and in the filters.
_TEXT_ERRORS = (
    TemplateError,
    ArithmeticError,
    LookupError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


def render_text(source: str, values: Mapping[str, Any]) -> str:
    """Fill a catalog text with a template's parameters and results.

    Raises UsageError with the text, the mistake and the names that it may use.
    """
    _check_length(source)
    if "{" not in source:
        return source
    try:
        return _compiled_text(source).render(values)
    except _TEXT_ERRORS as exc:
        raise _explained(source, values, exc) from exc


def evaluate(expression: str, values: Mapping[str, Any]) -> Any:
    """Return the value of a bare expression such as `days[3]`, under the rules of texts."""
    _check_length(expression)
    try:
        result = _compiled_expression(expression)(values)
        if isinstance(result, StrictUndefined):
            str(result)
    except _TEXT_ERRORS as exc:
        raise _explained(expression, values, exc) from exc
    return result


# In a large catalog most templates share their texts and differ in their numbers.
@lru_cache(maxsize=KEPT_TEXTS)
def _compiled_text(source: str) -> Template:
    tree = text_environment().parse(source)
    _refuse_loops(tree)
    return text_environment().from_string(tree)


@lru_cache(maxsize=KEPT_TEXTS)
def _compiled_expression(source: str) -> Callable[..., Any]:
    return text_environment().compile_expression(source, undefined_to_none=False)


@cache
def text_environment() -> Environment:
    """Return the environment of catalog texts: values and filters, no calls, no globals."""
    environment = _TextEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in _PLAIN_FILTERS}
    environment.filters.update(FILTERS)
    return environment


def scene_environment(folder: Path, tools: Iterable[Callable[..., Any]] = ()) -> Environment:
    """Return the environment of the SVG scenes below `folder`, with XML escaping.

    `tools` are trusted functions: the sandbox does not check their calls.
    """
    environment = _SceneEnvironment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tools = frozenset(tools)
    environment.filters.update(FILTERS)
    return environment


def page_environment(folder: Path) -> Environment:
    """Return the environment of vidgen's own HTML pages, with escaping."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_scene(template: Template, names: dict[str, Any]) -> str:
    """Render a scene; `names` must hold every name that it uses, also the global ones.

    `Template.render` would copy and compare all names, which costs more than a small scene.
    """
    try:
        context = Context(template.environment, names, template.name, template.blocks)
        return "".join(template.root_render_func(context))
    except Exception:  # noqa: BLE001 - Jinja2 raises it again, with the scene's line numbers
        template.environment.handle_exception()


class _SceneEnvironment(SandboxedEnvironment):
    """Caches the results of the kit's macros: they depend on their arguments alone."""

    tools: frozenset[Callable[..., Any]] = frozenset()

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        is_macro = isinstance(obj, Macro)
        if not is_macro and getattr(obj, "__func__", obj) not in self.tools:
            return super().call(context, obj, *args, **kwargs)
        # Jinja2 passes these for callees that read the scene's variables.
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        if not is_macro:
            return obj(*args, **kwargs)
        if _is_of_the_kit(obj):
            return self._cached(context, obj, args, kwargs)
        return obj(context.eval_ctx, *args, **kwargs)

    def _cached(
        self, context: Context, obj: Macro, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        key = (obj, _frozen(args), _frozen(kwargs))
        result = self._results.get(key)
        if result is None:
            if len(self._results) >= KEPT_MACRO_CALLS:
                self._results.clear()
            result = self._results[key] = obj(context.eval_ctx, *args, **kwargs)
        return result

    @cached_property
    def _results(self) -> dict[Any, Any]:
        return {}


def _frozen(value: Any) -> Any:
    """Return an argument as a part of a cache key; lists and mappings compare by content."""
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple(map(_frozen, value.items()))
    # 1, 1.0 and True are equal, and so are Markup and str, but they render differently.
    return value.__class__, value


@cache
def _is_of_the_kit(macro: Macro) -> bool:
    return Path(macro._func.__code__.co_filename).parent.name == KIT  # noqa: SLF001


class _TextEnvironment(SandboxedEnvironment):
    """Refuses operations that make a short text expensive: calls, powers, repeated strings."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise SecurityError("a text cannot use powers (**)")
        if isinstance(left, str | list) or isinstance(right, str | list):
            raise SecurityError(f"“{operator}” needs a number on both sides")
        return super().call_binop(context, operator, left, right)

    def call(self, _context: Context, _obj: Any, /, *_args: Any, **_kwargs: Any) -> Any:
        raise SecurityError("a text cannot call functions")


def _refuse_loops(tree: nodes.Template) -> None:
    loop = tree.find(nodes.For)
    if loop is not None:
        raise TemplateSyntaxError("a text cannot contain a loop ({% for %})", loop.lineno)


def _check_length(source: str) -> None:
    if len(source) > MAX_SOURCE:
        raise UsageError(
            f"the text “{_quoted(source)}” has {len(source):,} characters",
            hint=f"A text may have at most {MAX_SOURCE:,} characters.",
        )


def _explained(source: str, values: Mapping[str, Any], exc: Exception) -> UsageError:
    return UsageError(f"in the text “{_quoted(source)}”: {exc}", hint=_hint(values, exc))


def _hint(values: Mapping[str, Any], exc: Exception) -> str:
    if isinstance(exc, UndefinedError):
        return f"Known names: {', '.join(sorted(values)) or 'none'}."
    if isinstance(exc, TemplateError):
        return f"Write values as {{{{ name|filter }}}}; filters: {', '.join(FILTERS)}."
    return "Check the value and the filter."


def _quoted(source: str, width: int = 60) -> str:
    line = " ".join(source.split())
    return line if len(line) <= width else line[: width - 1] + "…"
