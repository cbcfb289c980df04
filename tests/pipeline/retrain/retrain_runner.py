"""Retrain with fakes of the two slow parts, training and evaluation; all else is real."""

import gzip
import io
import random
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from model.artifacts.registry import Registry, read_receipt_json
from pipeline.cli.tables import print_findings, print_summary
from pipeline.evaluation.paired import (
    EvaluatedAnswer,
    EvaluatedTurn,
    Evaluation,
    Outcomes,
    resample_sessions,
)
from pipeline.export.files import find_exports
from pipeline.retrain.request import RetrainDependencies, RetrainRequest
from pipeline.retrain.run import retrain
from pipeline.terminal import Watch
from pipeline.training.losses import HeldOutLoss, Nats
from pipeline.versions.receipt import show_receipt
from tests.model.fake_artifacts import make
from tests.pipeline.chats import chat, conversation, write

CHAT = -(10**12 + 77)
FEW_DRAWS = 100
"""Resamples in the comparison of two versions; the 1,000 of real runs take most of the time."""
OLD, NEW = conversation(20), conversation(45)
"""240 messages, and the same with 300 more."""
VOICES = '[[people]]\nname = "Friend {0}"\nids = [{0}]\nimitate = "yes"\n'


def card(attribution=0.6, right_voice=0.7, copied=0.0, private=0, bags=1, lines=200):
    """Return a scorecard of two voices with these figures."""
    figures = {
        "attribution.bags_of_10.generated": attribution,
        "attribution.bags_of_5.generated": attribution,
        "attribution.bags_of_1.generated": attribution,
        "right_voice.absent.share": right_voice,
        "copied.generated": copied,
        "nats_per_char.tuned": 1.0,
        "habits.distance.generated": 0.5,
    }
    value = {}
    for name, figure in figures.items():
        *folders, last = name.split(".")
        place = value
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = figure
    sizes = {f"bags_of_{n}": {"generated": bags} for n in (10, 5, 1)}
    value["attribution"]["bags_of_a_voice"] = sizes
    for size in sizes:
        value["attribution"][size]["real"] = 1.0
    value["intervals"] = {
        **{f"attribution.{n}.generated": [attribution - 0.05, attribution + 0.05] for n in sizes},
        **{
            f"attribution.relative.{n}.generated": [attribution - 0.1, attribution + 0.1]
            for n in sizes
        },
        "right_voice.absent.share": [right_voice - 0.1, right_voice + 0.1],
    }
    value["right_voice"]["absent"]["turns"] = 48
    value["attribution"]["chance"] = value["right_voice"]["absent"]["chance"] = 0.5
    value["personal_data"] = private
    value["replies"] = {"generated": {"lines": lines}}
    value["headline"], value["passes"] = {"bags": bags}, 1.0
    value["right_voice"]["absent"]["voices"] = {"Friend 1": right_voice, "Friend 2": right_voice}
    return value


def judged(card, turns=48, seed=0):
    """Return a version of this scorecard, with the outcomes of this many turns of two voices.

    Of one seed the version with the lower share fails in all turns in which the other fails.
    """
    own, copied = card["attribution"]["bags_of_1"]["generated"], card["copied"]["generated"]
    share = card["right_voice"]["absent"]["share"]
    order = random.Random(seed).sample(range(turns), turns)
    answers = (
        EvaluatedAnswer(
            number // 4,
            number % 2,
            (((0.0, -9.0), (-9.0, 0.0))[(number + (place >= own * turns)) % 2],),
            place < copied * turns,
        )
        for number, place in enumerate(order)
    )
    real = (EvaluatedTurn(n // 4, place < share * turns, 20.0, 20) for n, place in enumerate(order))
    return Evaluation(card, Outcomes(2, tuple(answers), tuple(real)))


@dataclass
class RetrainRunner:
    """Runs retrainings in one folder; records what its fake trainer and evaluator were asked.

    `cards` are the scorecards or evaluations by a version's number, or why there is none, `killed`
    is the step at which a run breaks off, `about` what else the first version's export says of its
    chat, `passes` how often versions see their training data.
    """

    folder: Path
    about: dict = field(default_factory=dict)
    cards: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    trained: list = field(default_factory=list)
    judged: list = field(default_factory=list)
    killed: str | None = None
    agrees: bool = True
    passes: float = 1.0

    def __post_init__(self):
        self.root = self.folder / "models"
        self.registry = Registry(self.root)
        self._count, self.shown = count(), io.StringIO()

    def put(self, *values):
        """Write exports and dumps into files of their own and return them."""
        return [write(self.folder / f"given{next(self._count)}", one) for one in values]

    def run(self, *values, **request):
        """Retrain with these exports and dumps, or files."""
        files = [one if isinstance(one, Path) else self.put(one)[0] for one in values]
        wished = RetrainRequest(
            files=tuple(find_exports(files)), root=self.root, **{"min_messages": 1, **request}
        )
        dependencies = RetrainDependencies(
            self._watch(), self._ask, print_findings, print_summary, self._train, self._judge
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(resample_sessions, "__defaults__", (FEW_DRAWS,))
            return retrain(wished, dependencies)

    def first(self, sessions=20, **request):
        """Train the first version on a chat of two friends who both agreed."""
        self.root.mkdir(exist_ok=True)
        (self.root / "roster.toml").write_text(VOICES.format(1) + VOICES.format(2))
        return self.run(chat(*conversation(sessions), **self.about), **request)

    def receipt(self, number):
        """Return a version's receipt."""
        return told(self.root, self.registry.find(str(number)))

    def page(self, result):
        """Return the page of a new version's receipt, on one line."""
        return " ".join(show_receipt(self.root, result.version).split())

    def _watch(self):
        return _Killing(Console(file=self.shown, width=500), self.killed)

    def _ask(self, question):
        self.asked.append(question)
        return self.agrees

    def _train(self, dataset, start, registry, settings, decoding, bar, *, resume=False):
        self.trained.append((dataset, start, settings))
        told = {"folder": str(dataset.folder.resolve()), "sha256": dataset.content_hash}
        used = asdict(settings)
        made = make(
            self.folder / f"made{next(self._count)}",
            words=f"weights {len(self.trained)}",
            roster=dataset.roster,
            chats=dataset.chats,
            window=dataset.window,
            base=start.name if isinstance(start.base, str) else start.base.card.base,
            provenance={
                "dataset": told,
                "trained_at": "2024-01-01T00:00:00+00:00",
                "requested": used,
                "began_with": start.name,
                "passes": self.passes,
            },
            scores={"nats_per_character": asdict(LOSS)},
        )
        (made / "weights").mkdir()
        (made / "weights" / "config.json").write_text("{}")
        registry.root.joinpath("tensorboard", "x").mkdir(parents=True, exist_ok=True)
        return registry.add(made), LOSS

    def _judge(self, artifact, dataset, cache, size, seed, progress):
        self.judged.append((artifact.path.name, dataset, size))
        found = self.cards.get(int(artifact.path.name.split("-")[0]), card())
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Evaluation) else judged(found)


LOSS = HeldOutLoss(Nats(1.0, 0.5), None, {})


def told(root, version):
    """Return all that stands in a version's receipt."""
    return read_receipt_json(root, version)


class Killed(BaseException):
    """A run broke off, as a signal would break it: nothing that could mend it ran."""


class _Killing(Watch):
    def __init__(self, console, step):
        super().__init__(console)
        self.kills_at = step

    def begin(self, step):
        super().begin(step)
        if step == self.kills_at:
            raise Killed(step)


def found(root, words):
    """Return the files below a folder that hold these words, packed ones unpacked."""
    return [path for path in root.rglob("*") if path.is_file() and words.encode() in _text(path)]


def everything(root):
    """Return all bytes below a folder but weights', packed files unpacked."""
    files = (path for path in root.rglob("*") if path.is_file())
    return b"\n".join(_text(path) for path in files if path.suffix not in {".safetensors", ".bin"})


def _text(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        return str(pq.read_table(path).to_pylist()).encode()
    return path.read_bytes()
