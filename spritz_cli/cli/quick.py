"""Commands that start at once: nothing is imported to convert what needs no conversion.

Typer converts every value with pydantic, also those that were not given, and
importing pydantic takes longer than all the rest of `vidgen status`.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class QuickCommand(TyperCommand):
    def get_params(self, ctx: Any) -> Any:
        return _converted_late(super().get_params(ctx))


class QuickGroup(TyperGroup):
    def get_params(self, ctx: Any) -> Any:
        return _converted_late(super().get_params(ctx))


class _LateConversion:
    """Stands in for Typer's converter of one parameter until there is a text to convert."""

    def __init__(self, param: Any) -> None:
        self._param = param

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str) or self._param.type_descriptor.annotation is str:
            return value
        self._param._runtime_param = None  # noqa: SLF001 - so that Typer makes its own
        return self._param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _converted_late(params: list[Any]) -> list[Any]:
    # Other versions of Typer have no such attribute and do not look at it.
    for param in params:
        if getattr(param, "_runtime_param", None) is None:
            param._runtime_param = _LateConversion(param)  # noqa: SLF001
    return params
