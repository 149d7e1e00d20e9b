"""The daily budget for generated footage. Money is reserved before an order is sent.

One Redis hash per UTC day, by the server's clock: order id → charge. The scripts
add the charges up each time, so there are no totals that could drift from them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from spritz_cli.errors import InfrastructureError
from spritz_cli.models import MicroUSD, add_up
from spritz_cli.storage.redis.errors import is_wrong_type, redis_errors

if TYPE_CHECKING:
    from redis import Redis

#: The cap of a day without a setting.
DEFAULT_CAP_MICROS = MicroUSD(5_000_000)

#: Days for which the charges of a day are kept.
KEPT_DAYS = 40

DAY_SECONDS = 86_400

ChargeState = Literal["held", "spent"]

_EPOCH = date(1970, 1, 1).toordinal()

# Reads a charge in exactly the form of _text. Returns nil for anything else: it is damaged.
_CHARGE = """
local function charge(text)
  local cost, state, template =
    string.match(text, '^{"micro":(%d+),"state":"(%l+)","template":(".*")}$')
  if state ~= 'held' and state ~= 'spent' then return nil end
  return tonumber(cost), state, template
end
"""

# Starts every script about today. The caller guesses the day, the server corrects it.
_IF_TODAY = """
local today = math.floor(redis.call('TIME')[1] / 86400)
if today ~= tonumber(ARGV[1]) then return {'day', today} end
"""

_READ = """
return {'done', redis.call('HGETALL', KEYS[1])}
"""

# Orders of the journal exist on disk, so they count even if they exceed the cap.
_RESERVE = """
local used, known = 0, {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  local cost, state = charge(stored[i + 1])
  if not cost then return {'damaged', stored[i]} end
  used = used + cost
  known[stored[i]] = {cost = cost, state = state}
end

local wanted_from = 5 + 2 * ARGV[4]
for i = 5, wanted_from - 1, 2 do
  local cost, state = charge(ARGV[i + 1])
  local before = known[ARGV[i]] or {cost = 0, state = cost > 0 and 'lost' or 'free'}
  if before.state == 'lost' or (before.state == 'held' and state == 'spent') then
    used = used + cost - before.cost
    known[ARGV[i]] = {cost = cost, state = state}
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end

local wanted, fresh = 0, {}
for i = wanted_from, #ARGV, 2 do
  local cost = charge(ARGV[i + 1])
  if cost > 0 and not known[ARGV[i]] then
    wanted = wanted + cost
    known[ARGV[i]] = true
    fresh[#fresh + 1] = i
  end
end
local fits = wanted == 0 or ARGV[3] == '' or used + wanted <= tonumber(ARGV[3])
if fits then
  for _, i in ipairs(fresh) do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('EXPIREAT', KEYS[1], ARGV[2])
return {fits and 'done' or 'full'}
"""

# The largest of several amounts for one order counts, whatever their sequence.
_SETTLE = """
local template = ARGV[4]
local stored = redis.call('HGET', KEYS[1], ARGV[2])
if stored then
  local cost, state
  cost, state, template = charge(stored)
  if not cost then return {'damaged', ARGV[2]} end
  if state == 'spent' and cost >= tonumber(ARGV[3]) then return {'done'} end
elseif tonumber(ARGV[3]) == 0 then
  return {'done'}
end
local text = '{"micro":' .. ARGV[3] .. ',"state":"spent","template":' .. template .. '}'
redis.call('HSET', KEYS[1], ARGV[2], text)
redis.call('EXPIREAT', KEYS[1], ARGV[1])
return {'done'}
"""

_RELEASE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then return {'done'} end
local cost, state = charge(stored)
if not cost then return {'damaged', ARGV[1]} end
if state == 'held' then redis.call('HDEL', KEYS[1], ARGV[1]) end
return {'done'}
"""


class Charge(NamedTuple):
    """The cost of one order: `held` while it is not certain, then `spent`."""

    order: str
    template: str
    cost_micros: MicroUSD
    state: ChargeState


class Day(NamedTuple):
    """The charges of one UTC day, sorted by order id, and the current cap."""

    date: str
    charges: tuple[Charge, ...]
    cap_micros: MicroUSD | None

    @property
    def spent(self) -> MicroUSD:
        return add_up(charge.cost_micros for charge in self.charges if charge.state == "spent")

    @property
    def held(self) -> MicroUSD:
        return add_up(charge.cost_micros for charge in self.charges if charge.state == "held")

    @property
    def used(self) -> MicroUSD:
        return add_up([self.spent, self.held])

    @property
    def left(self) -> MicroUSD | None:
        """The amount that may still be ordered, at least 0; None without a cap."""
        return None if self.cap_micros is None else MicroUSD(max(0, self.cap_micros - self.used))


class DailyBudget:
    """Reserves money for orders while the day's charges stay within `cap_micros` (None: no cap).

    Every method raises InfrastructureError with the key if a stored charge is
    damaged: a damaged charge never counts as 0. `clock` is only a guess of the
    day; the server confirms or corrects it.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str = "video:",
        cap_micros: MicroUSD | None = DEFAULT_CAP_MICROS,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if cap_micros is not None:
            _require_amount(cap_micros)
        self.cap_micros = cap_micros
        self._redis = redis
        self._prefix = prefix
        self._clock = clock
        self._read = redis.register_script(_IF_TODAY + _READ)
        self._reserve = redis.register_script(_IF_TODAY + _CHARGE + _RESERVE)
        self._settle = redis.register_script(_CHARGE + _SETTLE)
        self._release = redis.register_script(_CHARGE + _RELEASE)

    def without_cap(self) -> DailyBudget:
        """Return the same budget for an order that may exceed the cap: it counts all the same."""
        return DailyBudget(self._redis, self._prefix, None, clock=self._clock)

    def today(self) -> Day:
        """Return the charges of today, by the server's clock."""
        number, (_, flat) = self._ask_today(self._read, lambda _: [])
        return self._day(number, dict(zip(flat[::2], flat[1::2], strict=True)))

    def days(self, count: int) -> list[Day]:
        """Return the last `count` days up to today that have charges, newest first."""
        today = self.today()
        last = _number(today.date)
        numbers = range(last - 1, last - count, -1)
        past = map(self._day, numbers, self._stored(numbers))
        return [day for day in (today, *past) if day.charges][: max(0, count)]

    def seconds_to_reset(self) -> float:
        """Return the seconds until the next UTC day, by the server's clock."""
        with redis_errors():
            seconds, microseconds = self._redis.time()
        return float(DAY_SECONDS - (seconds + microseconds / 1e6) % DAY_SECONDS)

    def reserve(
        self,
        charges: Sequence[Charge],
        *,
        journal: Iterable[Charge] = (),
        journal_day: str | None = None,
    ) -> str | None:
        """Hold all charges or none; return their day, or None if they exceed the cap.

        An order that already has a charge today is not counted again. `journal`
        holds the charges of today that the disk knows: those that Redis has lost
        are restored first, even if they exceed the cap. If `journal_day` is not
        today any more, the journal is ignored.
        """
        wanted = [text for charge in charges for text in (charge.order, _text(charge))]
        known = [text for charge in journal for text in (charge.order, _text(charge))]

        def arguments(number: int) -> list[Any]:
            restored = known if journal_day in (None, _date(number)) else []
            cap = "" if self.cap_micros is None else self.cap_micros
            return [_expiry(number), cap, len(restored) // 2, *restored, *wanted]

        number, (word, *_) = self._ask_today(self._reserve, arguments)
        return _date(number) if word == "done" else None

    def settle(self, day: str, order: str, cost_micros: MicroUSD, *, template: str = "") -> None:
        """Record the real cost of an order, even above the cap or if Redis has lost the order.

        Idempotent; of several amounts the largest counts. `template` is used only
        for an order that Redis has lost.
        """
        _require_amount(cost_micros)
        number = _number(day)
        self._ask(self._settle, number, [_expiry(number), order, cost_micros, json.dumps(template)])

    def release(self, day: str, order: str) -> None:
        """Release the money held for an order that was certainly not charged."""
        self._ask(self._release, _number(day), [order])

    def _ask_today(
        self, script: Callable[..., Any], arguments: Callable[[int], list[Any]]
    ) -> tuple[int, list[Any]]:
        number = int(self._clock() // DAY_SECONDS)
        while True:
            answer = self._ask(script, number, [number, *arguments(number)])
            if answer[0] != "day":
                return number, answer
            number = int(answer[1])

    def _ask(self, script: Callable[..., Any], number: int, arguments: list[Any]) -> list[Any]:
        from redis import ResponseError

        key = self._key(number)
        with redis_errors():
            try:
                answer: list[Any] = script(keys=[key], args=arguments)
            except ResponseError as exc:
                raise _no_budget(key) if is_wrong_type(exc) else exc from None
        if answer[0] == "damaged":
            raise _damaged(key, answer[1])
        return answer

    def _stored(self, numbers: Iterable[int]) -> list[Any]:
        keys = [self._key(number) for number in numbers]
        with redis_errors():
            pipeline = self._redis.pipeline(transaction=False)
            for key in keys:
                pipeline.hgetall(key)
            answers = pipeline.execute(raise_on_error=False)
            for key, answer in zip(keys, answers, strict=True):
                if isinstance(answer, Exception):
                    raise _no_budget(key) if is_wrong_type(answer) else answer
            return answers

    def _day(self, number: int, stored: Mapping[str, str]) -> Day:
        charges = [_charge(self._key(number), *item) for item in sorted(stored.items())]
        return Day(_date(number), tuple(charges), self.cap_micros)

    def _key(self, number: int) -> str:
        return f"{self._prefix}budget:{_date(number)}"


def _require_amount(amount: object) -> None:
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise ValueError(f"an amount is a whole number of micro-dollars from 0 up, not {amount!r}")


def _text(charge: Charge) -> str:
    _require_amount(charge.cost_micros)
    fields = {"micro": charge.cost_micros, "state": charge.state, "template": charge.template}
    return json.dumps(fields, separators=(",", ":"))


def _charge(key: str, order: str, text: str) -> Charge:
    try:
        fields = json.loads(text)
        charge = Charge(order, fields["template"], fields["micro"], fields["state"])
        if charge.state in ("held", "spent") and _text(charge) == text:
            return charge
    except (TypeError, ValueError, KeyError):
        pass
    raise _damaged(key, order)


def _damaged(key: str, order: str) -> InfrastructureError:
    return InfrastructureError(
        f"{key} in Redis holds a damaged charge for the order {order}",
        hint="No footage is ordered that day. If you know what the order cost, delete that field.",
    )


def _no_budget(key: str) -> InfrastructureError:
    return InfrastructureError(
        f"{key} in Redis is not a day of the budget",
        hint="Delete that key if nobody needs it, or point REDIS_URL to another server.",
    )


def _number(day: str) -> int:
    return date.fromisoformat(day).toordinal() - _EPOCH


def _date(number: int) -> str:
    return date.fromordinal(number + _EPOCH).isoformat()


def _expiry(number: int) -> int:
    return (number + 1 + KEPT_DAYS) * DAY_SECONDS
