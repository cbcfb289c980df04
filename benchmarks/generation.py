"""Compare decoding settings on validation pairs.

Run from the repository root: `python -m benchmarks.generation ARTIFACT DATASET [PAIRS_PER_VOICE]`.
A reply is in the right voice if, after the last line of its context, its own name makes it likelier
than every other name does. The model itself decides this, not a classifier.
"""

import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from model.artifacts.artifact import Decoding, load_artifact
from model.chat.prompt import render_reply
from model.speaking.candidates import ReplyScores, compute_merit, score_candidates
from model.speaking.speaker import Speaker, open_speaker
from pipeline.dataset.storage import load_dataset
from pipeline.training.run import sample_evenly

SAMPLING: dict[str, dict[str, float]] = {
    "as they are": {},
    "t 0.9": {"temperature": 0.9},
    "t 1.0 p 0.9": {"temperature": 1.0, "top_p": 0.9},
    "penalty 1.1": {"repetition_penalty": 1.1},
}
RANKING: dict[str, dict[str, float] | None] = {
    "unranked": None,
    "context": {"voice_weight": 0.0},
    "voice": {"context_weight": 0.0},
    "both, whole": {"length_power": 0.0},
    "both, root": {"length_power": 0.5},
    "both, token": {"length_power": 1.0},
    "voice 2, root": {"voice_weight": 2.0, "length_power": 0.5},
    "context 0.5, root": {"context_weight": 0.5, "length_power": 0.5},
    "context 0.25, root": {"context_weight": 0.25, "length_power": 0.5},
}


def main() -> None:
    """Print a table of sampling and ranking variants."""
    folder, dataset, *more = sys.argv[1:]
    pairs = sample_evenly(load_dataset(Path(dataset)).validation, int(more[0]) if more else 12, 1)
    speaker = open_speaker(load_artifact(Path(folder)), device="cpu", seed=1)
    judge = Judge(speaker)
    real = [(p.voice, p.context, p.target) for p in pairs]
    print(f"{'variant':34} right  dist-2  words  msgs  s")  # noqa: T201  the same table
    show("real", real, judge, 0.0)
    for title, sampling in SAMPLING.items():
        drawn = replace(Decoding(), candidates=6, **sampling)
        begun = time.perf_counter()
        found = [(p, *candidates(speaker, p, drawn)) for p in pairs]
        found = [row for row in found if row[1]]
        seconds = (time.perf_counter() - begun) / len(pairs)
        for name, ranking in RANKING.items():
            said = [(p.voice, p.context, chosen(r, e, ranking)) for p, r, e in found]
            show(f"{title}: {name}", said, judge, seconds)


def candidates(speaker: Speaker, pair, decoding: Decoding):
    """Return what may be said after a pair's context, with its evidence."""
    codec = speaker.codec
    prompt = codec.prompt_ids(pair.context, speaker.artifact.card.max_prompt_tokens)
    drawn = speaker.engine.candidates(prompt, codec.label_ids(pair.voice), decoding)
    begun = speaker._begun(pair.context, pair.voice, prompt, "")
    replies = speaker._sayable(drawn, pair.context, pair.voice, begun)
    names = speaker._contrasted(pair.context, pair.voice)
    return replies, score_candidates(speaker.engine, codec, replies, names) if replies else []


def chosen(replies, found: Sequence[ReplyScores], ranking) -> tuple[str, ...]:
    """Return the messages that a ranking prefers, any for none: they come likeliest first."""
    if ranking is None:
        return random.choice(replies).messages
    merits = [compute_merit(one, replace(Decoding(), **ranking)) for one in found]
    return replies[merits.index(max(merits))].messages


class Judge:
    """Tells whether a name's turn is likelier under it than under each other; remembers."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker, self._names = speaker, list(speaker.artifact.card.learned)
        self._known: dict[object, bool] = {}

    def __call__(self, voice: str, context: Sequence[str], messages: Sequence[str]) -> bool:
        key = voice, tuple(context), tuple(messages)
        if key not in self._known:
            codec = self._speaker.codec
            prompt = codec.prompt_ids(context[-1:], 384)
            asked = [codec.reply_ids(name, render_reply(messages)) for name in self._names]
            rows = self._speaker.engine.scores([prompt] * len(asked), *zip(*asked, strict=True))
            best = max(zip(map(sum, rows), self._names, strict=True))[1]
            self._known[key] = best == voice
        return self._known[key]


def show(title: str, said, judge: Judge, seconds: float) -> None:
    """Print one line of the table, and lengths by voice."""
    right = fmean(judge(*one) for one in said)
    words = [" ".join(messages).split() for _, _, messages in said]
    pairs = [two for line in words for two in pairwise(line)]
    distinct = len(set(pairs)) / max(1, len(pairs))
    by_voice = defaultdict(list)
    for (voice, _, messages), line in zip(said, words, strict=True):
        by_voice[voice].append((len(line), len(messages)))
    lengths = " ".join(
        f"{voice} {fmean(n for n, _ in rows):.0f}/{fmean(m for _, m in rows):.1f}"
        for voice, rows in sorted(by_voice.items())
    )
    messages = fmean(len(one[2]) for one in said)
    size = fmean(map(len, words))
    figures = f"{right:.2f}   {distinct:.2f}   {size:5.1f}  {messages:.2f}  {seconds:.2f}"
    print(f"{title:34} {figures}  {lengths}", flush=True)  # noqa: T201  a table, run by hand


if __name__ == "__main__":
    random.seed(0)
    main()
