"""What a profile of `providers.yaml` may say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StringConstraints

from spritz_cli.catalog.validation import Expected, Strict, refused, wrong
from spritz_cli.videos_api.profile import ANY, Scalar, is_base_url

VERSION = 1
MAX_SECONDS = 600
MAX_USD_PER_SECOND = 1_000

#: Dates and ratios such as 16:9: a profile knows where it wants a number.
UNQUOTED = re.compile(r"\d{4}-\d\d-\d\d|\d+:\d+")

#: vidgen sets these headers itself; the key of a provider comes from the environment alone.
_OWN_HEADERS = r"authorization|(x-)?api-key|cookie|host|content-.*|transfer-.*|idempotency-key"


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise wrong()
    return text


def _ascii(text: str) -> str:
    if not text.isascii():
        raise wrong()
    return text


def _address(text: str) -> str:
    url = text.rstrip("/")
    if not is_base_url(url):
        raise wrong()
    return url


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _lengths(value: Any) -> Any:
    span = re.fullmatch(r"(\d{1,4})\s*[-–]\s*(\d{1,4})", value) if isinstance(value, str) else None
    if span and int(span[2]) <= MAX_SECONDS:
        return list(range(int(span[1]), int(span[2]) + 1))
    return [value] if type(value) is int else value


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(values)))


def _scalar(value: Any) -> Scalar:
    if not isinstance(value, Scalar):
        raise wrong()
    return value


def _free_header(name: str) -> str:
    if re.fullmatch(_OWN_HEADERS, name, re.IGNORECASE):
        hint = "Delete this line; auth and api_key_env say how the key travels."
        raise refused("vidgen sets this header itself", hint)
    return name


def _exact(value: Any) -> Decimal:
    if type(value) not in (int, float):
        raise wrong()
    return Decimal(str(value))


def _for_any(value: Any) -> Any:
    return value if isinstance(value, dict) else {ANY: value}


def _for_any_but_none(value: Any) -> Any:
    return {} if value is None else _for_any(value)


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise wrong() from None


Item = TypeVar("Item")

#: A Python function that looks at a list before hands on a list, which no strict tuple takes.
_Some = Annotated[tuple[Item, ...], Field(min_length=1, strict=False)]

_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_on_one_line)
]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
_Seconds = Annotated[int, Field(ge=1, le=MAX_SECONDS)]
_Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$")]
_SizeOrAny = Annotated[str, Field(pattern=r"^(\*|[1-9][0-9]{1,4}x[1-9][0-9]{1,4})$")]
_HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$"), AfterValidator(_free_header)]
_Price = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=MAX_USD_PER_SECOND)]
_Date = Annotated[date, BeforeValidator(_date)]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]

#: What a file leaves out comes from the profile below or from Profile, and is not read here.
_LEFT_OUT: Any = None


class ProfileEntry(Strict):
    """What one file says about one provider; for the meaning of the keys see Profile."""

    extends: _Line = _LEFT_OUT
    base_url: Annotated[_Line, AfterValidator(_address)] = _LEFT_OUT
    model: _Line = _LEFT_OUT
    allowed_seconds: Annotated[
        _Some[_Seconds], AfterValidator(_ascending), BeforeValidator(_lengths)
    ] = _LEFT_OUT
    sizes: Annotated[_Some[_Size], AfterValidator(_each_once), BeforeValidator(_listed)] = _LEFT_OUT
    auth: Annotated[str, Field(pattern=r"^(bearer|none|header:[A-Za-z0-9-]+)$")] = _LEFT_OUT
    api_key_env: Annotated[_Some[_Variable], BeforeValidator(_listed)] = _LEFT_OUT
    encoding: Literal["multipart", "json"] = _LEFT_OUT
    seconds_field: _Line = _LEFT_OUT
    seconds_type: Literal["str", "int"] = _LEFT_OUT
    size_field: _Line | None = _LEFT_OUT
    send_model: bool = _LEFT_OUT
    content: Literal["endpoint", "job_url"] = _LEFT_OUT
    lists: bool = _LEFT_OUT
    extra_fields: dict[str, Annotated[Scalar, PlainValidator(_scalar)]] = _LEFT_OUT
    extra_headers: dict[_HeaderName, Annotated[_Line, AfterValidator(_ascii)]] = _LEFT_OUT
    prices: dict[str, Annotated[dict[_SizeOrAny, _Price], BeforeValidator(_for_any)]] = _LEFT_OUT
    max_in_flight: Annotated[int, Field(ge=1, le=1_000)] = _LEFT_OUT
    retired: Annotated[dict[str, _Date], BeforeValidator(_for_any_but_none)] = _LEFT_OUT
    reconcile_after_seconds: Annotated[float, Field(ge=0, le=86_400)] = _LEFT_OUT


class ProvidersEntry(Strict):
    """The whole of a file."""

    version: Literal[1] = 1
    profiles: dict[_Name, dict[str, Any]] | None = None


VERSION_HINT = f"Write “version: {VERSION}”; this vidgen reads no other."

_LINE = Expected("one line of text", "Write it in quotes.")
_SECONDS = Expected(
    f"whole seconds from 1 to {MAX_SECONDS}", "Write a list such as [4, 8, 12], or a range: 4-15."
)
_VARIABLES = Expected(
    "the name of an environment variable",
    "The key itself never stands in this file; name the variable that holds it.",
    is_secret=True,
)
_SIZES_HINT = "Write a list such as [1280x720]."

EXPECTED: Mapping[str, Expected] = {
    "profiles[key]": Expected(
        "named in small letters, digits, “-”, “_” and “.”, 64 at most", "Such as “my-server”."
    ),
    "extends": _LINE,
    "base_url": Expected(
        "an address such as https://host/v1, without user, “?” and “#”",
        "Write the address below which /videos is; the key comes from the environment.",
        is_secret=True,
    ),
    "model": _LINE,
    "allowed_seconds": _SECONDS,
    "allowed_seconds[]": _SECONDS,
    "sizes": Expected("one or more sizes in pixels", _SIZES_HINT),
    "sizes[]": Expected("a size in pixels", _SIZES_HINT),
    "auth": Expected("bearer, none or header:<Name>", "Such as “header:api-key”.", is_secret=True),
    "api_key_env": _VARIABLES,
    "api_key_env[]": _VARIABLES,
    "encoding": Expected("multipart or json", "Choose one of the two."),
    "seconds_field": _LINE,
    "seconds_type": Expected("str or int", "Choose one of the two."),
    "size_field": Expected("one line of text, or null", "Write it in quotes."),
    "content": Expected("endpoint or job_url", "Choose one of the two."),
    "extra_fields.*": Expected("text, a number, true or false", "Write a single value."),
    "extra_headers[key]": Expected("named in letters, digits and “-”", "Such as x-team."),
    "extra_headers.*": Expected(
        "one line of plain ASCII text", "Write it in quotes, in ASCII.", is_secret=True
    ),
    "prices[key]": Expected('a size such as 1280x720, or "*"', "Write {1280x720: 0.10}."),
    "prices.*": Expected(
        f"US dollars per second from 0 to {MAX_USD_PER_SECOND:,}", "Write a number such as 0.10."
    ),
    "max_in_flight": Expected("a whole number from 1 to 1,000", "Write a number such as 2."),
    "retired": Expected("a date", "Write it as 2026-09-24."),
    "retired.*": Expected("a date", "Write it as 2026-09-24."),
    "reconcile_after_seconds": Expected(
        "a number of seconds from 0 to 86,400", "Write a number such as 60."
    ),
}
