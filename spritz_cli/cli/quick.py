"""Commands that start fast: what a call does not need is neither imported nor built.

Typer converts every value with pydantic, even defaults, and
importing pydantic takes longer than all the rest of `vidgen status`. It also
builds every command of a group before it looks up which one is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class QuickCommand(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _named_alone(_converted_late(super().get_params(ctx)))


class QuickGroup(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _converted_late(super().get_params(ctx))


class LateCommands(Mapping[str, Any]):
    """The commands of a group by name, each built by `register` of its module when asked for."""

    def __init__(self, package: str, names: Iterable[str]) -> None:
        self._package = package
        self._built: dict[str, Any] = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Any:
        if self._built[name] is None:
            self._built[name] = self._build(name)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._built)

    def __len__(self) -> int:
        return len(self._built)

    def _build(self, name: str) -> Any:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        import_module(f"{self._package}.{name}").register(alone)
        return typer.main.get_command(alone)


class _LateConversion:
    """Stands in for Typer's converter of one parameter until there is a text to convert."""

    def __init__(self, param: Any) -> None:
        self._param = param

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str) or self._param.type_descriptor.annotation is str:
            return value
        self._param._runtime_param = None  # noqa: SLF001 - so that Typer makes its own
        return self._param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _named_alone(params: list[Any]) -> list[Any]:
    """Have the help say PERSONA, not PERSONA <str>."""
    for param in params:
        if param.param_type_name == "argument":
            param.display_type_rich = lambda **_: ""
    return params


def _converted_late(params: list[Any]) -> list[Any]:
    # Other versions of Typer neither have this attribute nor look at it.
    for param in params:
        if getattr(param, "_runtime_param", None) is None:
            param._runtime_param = _LateConversion(param)  # noqa: SLF001
    return params
