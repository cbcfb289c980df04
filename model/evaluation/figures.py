"""A scorecard's figures by name, and as scorecard.json has them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from model.evaluation.bootstrap import Estimate

Figures = Mapping[str, Any]
"""Estimates, dataclasses and plain values by the names of scorecard.json."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """Every figure, by section; intervals are taken out of them when it is written."""

    sections: Figures

    def to_json(self) -> dict[str, Any]:
        """Return plain values, and the intervals by their figures' dotted names."""
        intervals: dict[str, list[float]] = {}
        plain = _plain(self.sections, "", intervals)
        return {**plain, "intervals": intervals}


def _plain(value: Any, name: str, intervals: dict[str, list[float]]) -> Any:  # noqa: ANN401  JSON's border
    """Return a value for JSON, noting the interval of each estimate in it under its name."""
    if isinstance(value, Estimate):
        intervals[name] = [round(value.low, 4), round(value.high, 4)]
        return round(value.value, 4)
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        prefix = f"{name}." if name else ""
        return {key: _plain(item, f"{prefix}{key}", intervals) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value
