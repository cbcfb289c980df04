"""The scorecard as a set of named figures, and its JSON form."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from model.evaluation.bootstrap import Estimate

Figures = Mapping[str, Any]
"""Estimates, dataclasses and plain values, keyed by their names in scorecard.json."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All figures, by section."""

    sections: Figures

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with all intervals in one object keyed by dotted names."""
        intervals: dict[str, list[float]] = {}
        plain = _plain(self.sections, "", intervals)
        return {**plain, "intervals": intervals}


def _plain(value: Any, name: str, intervals: dict[str, list[float]]) -> Any:  # noqa: ANN401  JSON's border
    """Return a value for JSON, and add the interval of each estimate in it to `intervals`."""
    if isinstance(value, Estimate):
        intervals[name] = [round(value.low, 4), round(value.high, 4)]
        return round(value.value, 4)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        prefix = f"{name}." if name else ""
        return {key: _plain(item, f"{prefix}{key}", intervals) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
