"""A retraining's own account of itself, for its receipt."""

import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from model.hyperparameters import Hyperparameters
from pipeline.authors import written
from pipeline.card import commit
from pipeline.dataset import Dataset
from pipeline.retrain.gate import Verdict
from pipeline.retrain.intake import Intake
from pipeline.start import Start


@dataclass(frozen=True, slots=True)
class Facts:
    """Of what a version was made: `files`, people and counts, read while the chat was open."""

    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """How it was trained and judged; `replayed` counts old pairs beside the new, if it is any."""

    base: str
    start: Start
    replayed: int | None
    settings: Hyperparameters
    verdict: Verdict
    compared_with: str | None
    forced: str | None
    seconds: dict[str, float]


def facts_of(intake: Intake, dataset: Dataset) -> Facts:
    """Return what is known while the chat is still open; no words of it."""
    whole, summary = intake.whole, dataset.summary
    now = datetime.now(UTC).timestamp()  # after a message of the future nothing would be new
    newest = max((one.at for one in whole.entries() if one.is_message and one.at <= now), default=0)
    held_out = next(split for split in summary.splits if split.name == "test").first
    values = {
        "chat": {"id": whole.chat.chat_id, "title": whole.chat.name},
        "files": list(_files(intake)),
        "earlier_exports": sorted(set(whole.head.exports) - {one.sha256 for one in whole.given}),
        "messages": intake.total,
        "new": intake.new,
        "deleted": intake.deleted,
        "deleted_before": whole.ledger.deleted,
        "through": datetime.fromtimestamp(newest, UTC).isoformat(),
        "held_out_since": held_out.isoformat(),
        "min_messages": summary.min_messages,
        "people": list(_people(intake, dataset)),
        "excluded": [
            {"name": one.name, "since": one.since.isoformat() if one.since else None}
            for one in whole.ledger.withdrawn
        ],
        "newcomers": [person.name for person in intake.people.newcomers],
        "forgotten": len(whole.ledger.forgotten_words),
        "forgotten_ids": len(whole.ledger.forgotten),
        "unplaced": whole.unplaced,
        "redacted": dict(summary.redacted),
        "dataset": summary.content_hash,
    }
    return Facts(values)


def receipt_of(facts: Facts, run: Run) -> dict[str, Any]:
    """Return a receipt, as `receipt.write` takes it."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.node()} ({platform.system()} {platform.machine()})",
        "understudy": version("understudy"),
        "commit": commit(),
        **facts.values,
        "base": run.base,
        "began_with": run.start.name,
        "pace": run.start.pace,
        "replayed": run.replayed,
        "hyperparameters": asdict(run.settings),
        "scores": [asdict(one) for one in run.verdict.figures],
        "voices": [
            {"name": one.figure, "new": one.new, "current": one.current, "chance": one.chance}
            for one in run.verdict.voices
        ],
        "compared_with": run.compared_with,
        "reasons": list(run.verdict.reasons),
        "forced": run.forced,
        "seconds": run.seconds,
    }


def _files(intake: Intake) -> Iterator[dict[str, Any]]:
    for one in intake.whole.given:
        yield {
            "kind": "export" if one.written_at is None else "dump",
            "name": one.file.name,
            "sha256": one.sha256,
            "messages": one.messages,
            "first": one.first.isoformat() if one.first else None,
            "last": one.last.isoformat() if one.last else None,
        }


def _people(intake: Intake, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """Yield those who were learned from, as voices or in contexts."""
    whole = intake.whole
    counts = written(whole.spool.authors(whole.chat.chat_id))
    voices = {voice.name: voice for voice in dataset.summary.voices}
    for person in intake.people.roster.people:
        messages = sum(counts[number] for number in person.ids)
        if person.learn == "no" or not messages:
            continue
        voice = voices.get(person.name)
        pairs = voice.train + voice.validation + voice.test if voice else 0
        yield {
            "name": person.name,
            "ids": list(person.ids),
            "messages": messages,
            "pairs": pairs,
        }
