"""Declare options once: their names, types, ranges, help and panels; check and convert values."""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from dataclasses import field as dataclass_field
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints
from zoneinfo import ZoneInfo

Given = Mapping[str, Any]
"""Values that a person entered, by the name of the field or parameter."""

_MINUTE = timedelta(minutes=1)
_METAVARS: Mapping[Any, str] = {int: "N", float: "N", timedelta: "N", Path: "PATH"}
_VALUES: Mapping[Any, str] = {
    bool: "true or false",
    datetime: "a day such as 2024-03-31",
    tzinfo: "a time zone such as Europe/Lisbon",
    Path: "a path",
}


@dataclass(frozen=True, slots=True)
class Option:
    """What people see of an option, and the values that it accepts.

    Numbers are between `least` and `most`, and greater than `above`. A timedelta is a number of
    minutes. An option with a `panel` is not in the help of a command: it is set with `--set` or
    `--config`, and `understudy settings` lists it below this title. `default_text` is shown in
    place of the default. A flag that `can_switch_off` has a `--no-` form too. `complete` returns
    the words that an incomplete one may mean, given the other options' values.

    The last six are taken from the field or the parameter.
    """

    help: str
    metavar: str = ""
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    panel: str = ""
    name: str = ""
    default_text: str = ""
    can_switch_off: bool = False
    complete: Callable[[Given, str], list[str]] | None = None
    is_argument: bool = False

    field: str = ""
    kind: Any = str
    choices: tuple[Any, ...] = ()
    is_repeated: bool = False
    is_required: bool = False
    default: Any = None

    def of(self, field: str, annotation: Any, default: Any) -> "Option":  # noqa: ANN401  a type
        """Return this option for a field or parameter with this annotation and default."""
        kinds = [one for one in get_args(annotation) if one not in {type(None), ...}]
        is_repeated = get_origin(annotation) in {list, tuple}
        is_optional = not is_repeated and len(kinds) < len(get_args(annotation))
        kind = kinds[0] if is_optional or is_repeated else annotation
        if is_repeated or is_optional:  # tuple[str, ...] | None
            inner = self.of(field, kind, default)
            return replace(inner, is_repeated=is_repeated or inner.is_repeated)
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        if isinstance(kind, type) and issubclass(kind, Enum):
            choices = tuple(kind)
        return replace(
            self,
            name=self.name or field.replace("_", "-"),
            metavar=self.metavar or _METAVARS.get(kind, "NAME"),
            field=field,
            kind=kind,
            choices=choices,
            is_required=default is MISSING or default is Parameter.empty,
            default=default,
        )

    @property
    def is_number(self) -> bool:
        """Whether the value is a number."""
        return self.kind in {int, float, timedelta}

    @property
    def values(self) -> str:
        """Describe the values that it accepts."""
        if self.choices:
            *others, last = map(format_value, self.choices)
            return f"{', '.join(others)} or {last}"
        if not self.is_number:
            return _VALUES.get(self.kind, "text")
        what = "a whole number" if self.kind is int else "a number"
        least, most = format_value(self.least), format_value(self.most)
        if self.above > -math.inf:
            limit = f" and up to {most}" if self.most < math.inf else ""
            return f"{what} above {format_value(self.above)}{limit}"
        if self.most < math.inf:
            return f"{what} from {least} to {most}"
        return what if self.least == -math.inf else f"{what} of {least} or more"

    @property
    def shown_default(self) -> str:
        """Describe the default; "" if there is none to describe."""
        is_plain = self.default is None or self.default is False or self.default == ()
        if self.default_text or self.is_required or is_plain:
            return self.default_text
        return format_value(self.default)

    def check(self, value: Any) -> Any:  # noqa: ANN401  any field's value
        """Return a value if it is of the right type and in range.

        Raises: ValueError: It is not; the message says what is allowed.
        """
        number = value / _MINUTE if isinstance(value, timedelta) else value
        is_right = not self.choices or value in self.choices
        if self.kind is bool:
            is_right = isinstance(value, bool)
        elif self.is_number:
            types = int if self.kind is int else (int, float)
            is_right = (
                isinstance(number, types)
                and not isinstance(number, bool)
                and math.isfinite(number)
                and self.least <= number <= self.most
                and number > self.above
            )
        if not is_right:
            raise ValueError(f"must be {self.values}, not {format_value(value)}")
        return value

    def parse(self, text: str) -> Any:  # noqa: ANN401
        """Convert and check a word of the command line.

        Raises:
            ValueError: The value is not allowed; the message says which ones are.
        """
        try:
            return self.check(self._convert(text))
        except (ValueError, OverflowError, LookupError, OSError):
            raise ValueError(f"must be {self.values}, not {text}") from None

    def read(self, value: object) -> Any:  # noqa: ANN401
        """Convert and check a value of a TOML file.

        Raises:
            ValueError: It has the wrong type or is out of range; the message says what is allowed.
        """
        if self.is_repeated and isinstance(value, list):
            return tuple(replace(self, is_repeated=False).read(one) for one in value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if isinstance(value, list | dict) or (self.is_number, self.kind is bool) != (
            is_number,
            isinstance(value, bool),
        ):
            shown = f'"{value}"' if isinstance(value, str) else format_value(value)
            raise ValueError(f"must be {self.values}, not {shown}")
        found = self.parse(format_value(value) if isinstance(value, bool) else str(value))
        return (found,) if self.is_repeated else found

    def _convert(self, text: str) -> Any:  # noqa: ANN401
        if self.choices:
            return {format_value(one): one for one in self.choices}[text]
        if self.kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if self.kind is timedelta:
            return float(text) * _MINUTE
        if self.kind is datetime:
            return datetime.fromisoformat(text)
        return ZoneInfo(text) if self.kind is tzinfo else self.kind(text)


def option(default: Any, help: str | Option, **declared: Any) -> Any:  # noqa: A002, ANN401
    """Return a field of a dataclass that is an option."""
    base = Option(help) if isinstance(help, str) else help
    return dataclass_field(default=default, metadata={"option": replace(base, **declared)})


def format_value(value: object) -> str:
    """Return a value as people write it: `0.5`, `true`, `auto`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return f"{value / _MINUTE:g}"
    if isinstance(value, Enum):
        return str(value.value)
    return f"{value:g}" if isinstance(value, float) else str(value)


@cache
def options_of(source: type[Any]) -> tuple[Option, ...]:
    """Return the options that a dataclass declares, in order."""
    hints = get_type_hints(source)
    return tuple(
        field.metadata["option"].of(field.name, hints[field.name], field.default)
        for field in fields(source)
        if "option" in field.metadata
    )


def check_options(settings: Any) -> None:  # noqa: ANN401  a dataclass
    """Check the values of a dataclass's options; None is not checked.

    Raises:
        ValueError: One has a wrong type or is out of range.
    """
    for one in options_of(settings.__class__):
        value = getattr(settings, one.field)
        if value is not None and not one.is_repeated:
            try:
                one.check(value)
            except ValueError as error:
                raise ValueError(f"{one.name}: {error}") from error
