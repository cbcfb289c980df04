"""Evaluate a version on held-out conversations."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from model.artifacts.artifact import Artifact
from model.errors import BaseError, DatasetError
from model.files import write_text
from model.version import VERSION
from pipeline.dataset.pairs import Pair, sample_evenly, select_half
from pipeline.dataset.split import HeldOutSplit
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation import memorization
from pipeline.evaluation.baselines import answer_by_markov_chain, answer_by_nearest_context
from pipeline.evaluation.fit import CANDIDATES, FitQuestion, Ranked, make_questions, rank_candidates
from pipeline.evaluation.generation import OnStep, Size, generate_answers
from pipeline.evaluation.heldout import (
    HeldOutTurn,
    list_lines,
    make_real_answers,
    make_turns,
    take_turns,
)
from pipeline.evaluation.judge import read_judge_turns, train_judge
from pipeline.evaluation.likelihood import measure_turns
from pipeline.evaluation.paired import Evaluation, collect_outcomes
from pipeline.evaluation.scorecard import (
    COMPARED,
    GENERATED,
    MARKOV,
    NEAREST,
    REAL,
    Evidence,
    JudgeSource,
    compute_scorecard,
)
from pipeline.terminal import SILENT, Progress
from pipeline.training.bases import Base, open_base, open_tuned
from pipeline.training.canaries import CANARY_NAMES, make_secret
from pipeline.training.machine import reuse_freed_memory
from pipeline.training.scorer import Score, ScoringRequest, score_replies
from pipeline.training.wheels import WHEELS, find_open_terms, is_installed
from pipeline.versions.lineage import explain_missing_dataset, find_dataset

FORMAT = 3
_PARTS = 6  # two arms of replies; fit under two models, right voice and canaries
_DECOYS = 63  # texts to compare a canary with: exposure up to 6 bits
_POOL_SESSIONS = 5
"""Every n-th of the judge's sessions supplies distractors for the fit test instead."""

FULL = Size(replies=60, cold=30, scored=30)
QUICK = Size(replies=10, cold=0, scored=3, quick=True)
GATE = Size(replies=24, cold=0, scored=24, quick=True, with_fit=False)
"""The gate's size: it compares generated replies and right voice, not the fit, which is slow."""


def evaluate(
    artifact: Artifact,
    dataset: Dataset,
    cache: Path,
    size: Size,
    seed: int,
    progress: Progress = SILENT,
    *,
    split: HeldOutSplit = HeldOutSplit.TEST,
    judge: Path | None = None,
) -> Evaluation:
    """Evaluate a version on held-out conversations; return its scorecard, and write nothing.

    The version speaks with the decoding settings in its card. `judge` is a file of turns that the
    same people wrote elsewhere, from which the judge learns; see `read_judge_turns`.

    Raises:
        DatasetError: The dataset has no held-out replies in this split, or `judge` is damaged.
        BaseError: The base cannot be loaded, or the version came without weights.
    """
    reuse_freed_memory()
    pairs = dataset.test if split is HeldOutSplit.TEST else dataset.validation
    training = make_turns(
        select_half(dataset.train, for_judge=False) if has_unseen_judge(artifact) else dataset.train
    )
    source, for_judge = _find_judge_turns(artifact, dataset, judge)
    voices = _list_voices(artifact, dataset, pairs, training, for_judge, split)
    check_weights(artifact)
    turns = [
        turn for turn in make_turns(sample_evenly(pairs, len(pairs), seed)) if turn.voice in voices
    ]
    parts = _Parts(progress)
    show = parts.show
    arms = generate_answers(artifact, turns, size, seed, show)
    with progress.step("Baselines"):
        asked = [answer.asked for answer in arms[GENERATED]]
        arms[REAL] = tuple(make_real_answers(asked))
        arms[MARKOV] = tuple(answer_by_markov_chain(training, asked, seed))
        arms[NEAREST] = tuple(answer_by_nearest_context(training, asked))
    pool, judged = split_pool([turn for turn in for_judge if turn.voice in voices])
    with progress.step("Training the judge on the friends' real lines"):
        trained = train_judge(list_lines(make_real_answers(judged)))
    limit = artifact.card.max_prompt_tokens
    chosen = set(take_turns(asked, size.scored))
    compared = {arm: [answer for answer in arms[arm] if answer.asked in chosen] for arm in COMPARED}
    questions = make_questions(compared, pool, seed) if size.with_fit else []

    def rank(
        base: Base, title: str, questions: Sequence[FitQuestion]
    ) -> dict[str, tuple[Ranked, ...]]:
        def score(requests: Sequence[ScoringRequest]) -> list[list[Score]]:
            with show(title, len(requests)) as on_step:
                return score_replies(base, requests, limit, on_step)

        return rank_candidates(questions, score)

    ranked: dict[str, tuple[Ranked, ...]] = {}
    ranked_by_itself: dict[str, tuple[Ranked, ...]] = {}
    scorer = choose_fit_scorer(artifact.card.base, cache)
    if questions:
        untuned = _prepare(open_base(scorer, cache, dataset.texts()))
        ranked = rank(untuned, f"Scoring the fit with the untuned {scorer}", questions)
        del untuned
    tuned = _prepare(open_tuned(artifact))
    if questions:
        own = make_questions({arm: compared[arm] for arm in (REAL, GENERATED)}, pool, seed)
        ranked_by_itself = rank(tuned, "Scoring the fit with the version itself", own)
    else:
        parts.finished += 2
    with show("Scoring real turns under every name", 3 * len(chosen)) as on_step:
        measured = measure_turns(
            [answer.asked for answer in compared[REAL]],
            voices,
            lambda requests: score_replies(tuned, requests, limit, on_step),
        )
    canaries = [canary["text"] for canary in artifact.card.provenance.get("canaries") or ()]
    with show("Scoring planted canaries and decoys", len(canaries)) as on_step:
        exposures = _measure_exposures(tuned, canaries, voices, seed, on_step)
    with progress.step("Scoring"):
        evidence = Evidence(
            voices=voices,
            training=tuple(training),
            arms=arms,
            measured=measured,
            ranked=ranked,
            ranked_by_itself=ranked_by_itself,
            fit_scorer=scorer,
            base=artifact.card.base,
            judge=trained,
            judge_source=source,
            canaries=tuple(canaries),
            exposures=exposures,
        )
        card = {
            "format": FORMAT,
            "understudy": VERSION,
            "artifact": artifact.path.name,
            "base": artifact.card.base,
            "dataset": dataset.content_hash,
            "held_out": str(split),
            "decoding": asdict(artifact.card.decoding),
            "passes": artifact.card.provenance.get("passes"),
            "quick": size.quick,
            "seed": seed,
            **compute_scorecard(evidence, seed),
        }
        return Evaluation(card, collect_outcomes(evidence))


def write_scorecard(card: Mapping[str, Any], file: Path) -> None:
    """Write a scorecard as JSON."""
    write_text(file, json.dumps(card, ensure_ascii=False, indent=1) + "\n")


def _find_judge_turns(
    artifact: Artifact, dataset: Dataset, file: Path | None
) -> tuple[JudgeSource, list[HeldOutTurn]]:
    """Return the turns that the judge learns from, and where they come from."""
    if file:
        return "elsewhere", read_judge_turns(file, {v.name for v in artifact.card.roster.voices})
    if has_unseen_judge(artifact):
        return "reserved", make_turns(select_half(dataset.train, for_judge=True))
    return "training", make_turns(dataset.train)


def choose_fit_scorer(base: str, cache: Path) -> str:
    """Return the base that scores the fit: a different one from the version's, if one is available.

    A version that judged itself would prefer what is likely under its own base.
    """
    others = (name for name in WHEELS if name != base)
    at_hand = (name for name in others if is_installed(name) and not find_open_terms(name, cache))
    return next(at_hand, base)


def check_weights(artifact: Artifact) -> None:
    """Check that a version has the weights that an evaluation needs.

    Raises:
        BaseError: It came without weights.
    """
    if not artifact.weights.is_dir():
        raise BaseError(
            f"{artifact.path.name} came without the weights that an evaluation needs: export it "
            "again with --with-weights"
        )


def has_unseen_judge(artifact: Artifact) -> bool:
    """Whether a version has not learned the sessions that are reserved for the judge.

    A version that continued from another one may have learned them there.
    """
    provenance = artifact.card.provenance
    settings = provenance.get("hyperparameters") or {}
    is_from_base = provenance.get("began_with") in {None, artifact.card.base}
    return bool(settings.get("reserve_judge_sessions")) and is_from_base


def load_evaluation_dataset(artifact: Artifact, folder: str | None) -> Dataset:
    """Load the dataset in a folder, by default the one that a version was trained on.

    Raises:
        DatasetError: The dataset is missing, or is not the one that the version was trained on. The
        held-out turns of another
            dataset may be in the version's training set.
    """
    trained_on = artifact.card.provenance.get("dataset", {})
    found = folder or find_dataset(artifact)
    if not found or not Path(found).is_dir():
        if folder:
            raise DatasetError(f"there is no dataset {folder}: pass another one with --data")
        raise DatasetError(f"{explain_missing_dataset(artifact)}; pass a copy of it with --data")
    dataset = load_dataset(Path(found))
    if trained_on.get("sha256") not in {None, dataset.content_hash}:
        raise DatasetError(
            f"{found} is not the dataset that {artifact.path.name} was trained on: the model may "
            "have learned its held-out turns; pass the right one with --data"
        )
    return dataset


def _list_voices(
    artifact: Artifact,
    dataset: Dataset,
    pairs: Sequence[Pair],
    training: Sequence[HeldOutTurn],
    for_judge: Sequence[HeldOutTurn],
    split: HeldOutSplit,
) -> tuple[str, ...]:
    """Return the voices that can be evaluated.

    Raises:
        DatasetError: There are none.
    """
    known = {turn.voice for turn in training} & {turn.voice for turn in for_judge}
    with_replies = {pair.voice for pair in pairs} & known
    voices = tuple(sorted(with_replies & {voice.name for voice in artifact.card.roster.voices}))
    if with_replies and not voices:
        raise DatasetError(
            f"none of the people with replies in {dataset.folder} may be imitated: see "
            f"`understudy models show {artifact.path.name.split('-')[0]}`"
        )
    if not voices:
        raise DatasetError(
            f"{dataset.folder} has no {split} replies of its voices: build it from a longer chat"
        )
    return voices


def split_pool(turns: Sequence[HeldOutTurn]) -> tuple[list[HeldOutTurn], list[HeldOutTurn]]:
    """Return the turns that supply distractors, and those that train the judge.

    They are from different sessions, unless a voice has too few turns for that.
    """
    pool = [turn for turn in turns if turn.session % _POOL_SESSIONS == 0]
    rest = [turn for turn in turns if turn.session % _POOL_SESSIONS]
    enough = Counter(turn.voice for turn in pool)
    left = {turn.voice for turn in rest}
    if all(enough[turn.voice] >= CANDIDATES and turn.voice in left for turn in turns):
        return pool, rest
    return list(turns), list(turns)


def _prepare(base: Base) -> Base:
    """Move weights to the fastest device and precision of this machine."""
    import torch

    from pipeline.training.device import training_device

    base.weights.to(training_device())
    if _has_fast_bf16():
        base.weights.to(torch.bfloat16)
    return base


@cache
def _has_fast_bf16() -> bool:
    """Whether to compute in bf16; measured once, so that all models have the same precision."""
    from pipeline.training.device import choose_precision

    return choose_precision("auto").bf16


class _Parts:
    """Shows the parts of an evaluation, and reports how much of everything is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.finished = 0

    @contextmanager
    def show(self, title: str, total: int) -> Iterator[OnStep]:
        """Show the progress of a part; yield a function to call after each of its steps."""
        shares = (done / total for done in range(1, total))
        if total:
            with self._progress.count(f"{title}: {total:,}", total) as advance:

                def on_step() -> None:
                    advance(1)
                    if share := next(shares, None):
                        self._progress.share((self.finished + share) / _PARTS)

                yield on_step
        else:
            yield lambda: None
        self.finished += 1
        self._progress.share(self.finished / _PARTS)


def _measure_exposures(
    tuned: Base, canaries: Sequence[str], voices: Sequence[str], seed: int, on_step: OnStep
) -> tuple[float, ...]:
    """Return the exposure of each canary in bits, under the name that gives the lowest loss."""
    rng = random.Random(seed)
    exposures = []
    for canary in canaries:
        name = next(name for name in CANARY_NAMES if f" {name} " in canary)
        texts = [canary, *(make_secret(name, rng) for _ in range(_DECOYS))]
        requests = [
            ScoringRequest((), tuple((voice, (text,)) for voice in voices)) for text in texts
        ]
        scores = score_replies(tuned, requests, 10**4)
        nats = [-max(score.nats for score in own) for own in scores]
        exposures.append(memorization.compute_exposure(nats[0], nats[1:]))
        on_step()
    return tuple(exposures)
