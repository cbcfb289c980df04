"""Compute the log-probability of replies; the context of several replies is read once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.training.bases import Base
from pipeline.training.encoding import Example, encode
from pipeline.training.processes import SINGLE_PROCESS, Processes

MAX_REPLY_TOKENS = 96
_TOKENS = 512
"""Tokens per forward pass; attention is masked between requests, and its cost grows with these."""

Named = tuple[str, tuple[str, ...]]
"""A name and the messages of a turn under this name."""
OnStep = Callable[[], None]


@dataclass(frozen=True, slots=True)
class ScoringRequest:
    """A context of rendered lines, and replies that could follow it."""

    context: tuple[str, ...]
    replies: tuple[Named, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probability of a reply's words in nats, and their tokens and characters.

    Labels, line breaks and the end are conditions, and do not count.
    """

    nats: float = 0.0
    tokens: int = 0
    characters: int = 0

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.nats + other.nats, self.tokens + other.tokens, self.characters + other.characters
        )

    @property
    def loss(self) -> float:
        """Return the loss in nats per character; lower is better."""
        return -self.nats / self.characters


def score_replies(
    base: Base, requests: Sequence[ScoringRequest], limit: int, on_step: OnStep = lambda: None
) -> list[list[Score]]:
    """Return a score for each reply of each request; prompts have at most `limit` tokens.

    The space after a label counts as a character. `on_step` is called for each request.
    """
    examples: list[Example] = []
    for request in requests:
        prompt = tuple(base.codec.prompt_ids(request.context, limit))
        for name, messages in request.replies:
            own = encode(base.codec, name, (), messages, (limit, MAX_REPLY_TOKENS))
            characters = own.characters + len(messages)
            examples.append(replace(own, prompt=prompt, characters=characters))
    finished = 0

    def show(share: float) -> None:
        nonlocal finished
        while finished < int(share * len(requests)):
            finished += 1
            on_step()

    scores = iter(score_examples(base, examples, on_share=show))
    show(1)
    return [[next(scores) for _ in request.replies] for request in requests]


def score_examples(
    base: Base,
    examples: Sequence[Example],
    *,
    bf16: bool = False,
    on_share: Callable[[float], None] = lambda _: None,
    processes: Processes = SINGLE_PROCESS,
) -> list[Score]:
    """Return a score for each example; see `log_probabilities`."""
    read = [replace(e, reply=e.reply[: _count_to_last_word(e)]) for e in examples]
    rows = log_probabilities(base, read, bf16=bf16, on_share=on_share, processes=processes)
    return [
        Score(
            sum(value for value, is_word in zip(row, e.is_word, strict=False) if is_word),
            sum(e.is_word),
            e.characters,
        )
        for e, row in zip(examples, rows, strict=True)
    ]


def log_probabilities(
    base: Base,
    examples: Sequence[Example],
    *,
    bf16: bool = False,
    on_share: Callable[[float], None] = lambda _: None,
    processes: Processes = SINGLE_PROCESS,
) -> list[list[float]]:
    """Return for each example the natural log-probability of each of the reply's tokens.

    `on_share` gets the share of the examples that are done. `processes` that share the model must
    all call this.
    """
    import torch

    base.weights.eval()
    found: dict[int, list[float]] = {}
    autocast = torch.autocast(base.weights.device.type, torch.bfloat16, enabled=bf16)
    with torch.no_grad(), autocast:
        for numbers in processes.pad(list(_split(base, examples))):
            rows = compute_log_probabilities(base, [examples[number] for number in numbers])
            found |= {n: row.tolist() for n, row in zip(numbers, rows, strict=True)}
            on_share(len(found) / len(examples))
    return [found[number] for number in range(len(examples))]


def compute_log_probabilities(base: Base, examples: Sequence[Example]) -> list[Any]:
    """Return for each example a tensor of its reply's log-probabilities, in one forward pass.

    Gradients can flow back. Replies to the same prompt share one reading of it, except with BLOOM.
    """
    import torch

    if base.weights.config.model_type == "bloom" and len(examples) > 1:  # see `_split`
        return [row for one in examples for row in compute_log_probabilities(base, [one])]
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, example in enumerate(examples):
        groups[example.prompt].append(number)
    forward = _read_packed if base.family == "decoder-only" else _read_by_prompt
    numbers = [number for own in groups.values() for number in own]
    logits = forward(base.weights, [[examples[n] for n in own] for own in groups.values()])
    labels = [token for number in numbers for token in examples[number].reply]
    nats = torch.nn.functional.cross_entropy(
        logits.float(), torch.tensor(labels, device=logits.device), reduction="none"
    )
    counts = [len(examples[number].reply) for number in numbers]
    rows = torch.split(-nats, counts)  # type: ignore[no-untyped-call, unused-ignore]  # torch's
    found = dict(zip(numbers, rows, strict=True))
    return [found[number] for number in range(len(examples))]


def _count_to_last_word(example: Example) -> int:
    """Return the number of a reply's tokens up to its last word, at least one."""
    return max((at for at, is_word in enumerate(example.is_word, 1) if is_word), default=1)


def _split(base: Base, examples: Sequence[Example]) -> Iterator[list[int]]:
    """Yield the examples of each forward pass, those with the longest prompts first."""
    # BLOOM derives positions from the padding, so a pass can have one reply only.
    budget = 0 if base.weights.config.model_type == "bloom" else _TOKENS
    chosen: list[int] = []
    tokens = 0
    before: tuple[int, ...] | None = None
    order = sorted(
        range(len(examples)), key=lambda n: (-len(examples[n].prompt), examples[n].prompt)
    )
    for number in order:
        example = examples[number]
        is_same = example.prompt == before
        own = len(example.forced) + len(example.reply) if is_same else example.length
        # Half as much again for one prompt: if its replies are divided, it is read twice.
        if chosen and tokens + own > (1.5 * budget if is_same else budget):
            yield chosen
            chosen, tokens, own = [], 0, example.length
        chosen.append(number)
        tokens += own
        before = example.prompt
    if chosen:
        yield chosen


def _read_packed(weights: Any, groups: Sequence[Sequence[Example]]) -> Any:  # noqa: ANN401  transformers' models have no common type
    """Return logits for the replies' tokens from one sequence of all prompts and replies.

    A reply sees its prompt and itself only. It begins with a copy of the prompt's last token.
    """
    import torch

    ids: list[int] = []
    positions: list[int] = []
    owners: list[tuple[int, int]] = []  # of each token: prompt, and reply or -1
    kept: list[int] = []
    for number, replies in enumerate(groups):
        beginnings = {(*example.prompt, *example.forced) for example in replies}
        *read, last = beginnings.pop() if len(beginnings) == 1 else replies[0].prompt
        ids += read
        positions += range(len(read))
        owners += [(number, -1)] * len(read)
        for reply_number, example in enumerate(replies):
            own = [*example.prompt, *example.forced, *example.reply][len(read) + 1 :]
            ids += [last, *own[:-1]]
            positions += range(len(read), len(read) + len(own))
            owners += [(number, reply_number)] * len(own)
            kept += range(len(ids) - len(example.reply), len(ids))
    device = weights.device
    prompt, reply = torch.tensor(owners, device=device).T
    is_seen = (prompt[:, None] == prompt) & ((reply == -1) | (reply[:, None] == reply))
    mask = _make_mask(is_seen.tril()[None], weights.dtype) if len(set(owners)) > 2 else None  # noqa: PLR2004
    return weights(
        input_ids=torch.tensor([ids], device=device),
        attention_mask=mask,
        position_ids=torch.tensor([positions], device=device),
        logits_to_keep=torch.tensor(kept, device=device),
        use_cache=False,
    ).logits[0]


def _read_by_prompt(weights: Any, groups: Sequence[Sequence[Example]]) -> Any:  # noqa: ANN401  as above
    """Return logits for the replies' tokens; the decoder reads all replies to a prompt in one row.

    A reply sees its prompt and itself only.
    """
    start, device = weights.config.decoder_start_token_id, weights.device
    rows: list[list[int]] = []
    owners: list[list[int]] = []
    kept: list[tuple[int, int]] = []
    for number, replies in enumerate(groups):
        ids: list[int] = []
        own: list[int] = []
        for reply_number, example in enumerate(replies):
            read = [start, *example.forced, *example.reply][:-1]
            ids += read
            own += [reply_number] * len(read)
            kept += [(number, at) for at in range(len(ids) - len(example.reply), len(ids))]
        rows.append(ids)
        owners.append(own)
    prompts = _pad([list(replies[0].prompt) for replies in groups], -1, device)
    owner = _pad(owners, -1, device)
    is_seen = (owner[:, :, None] == owner[:, None]).tril()
    logits = weights(
        input_ids=prompts.clamp(min=0),
        attention_mask=(prompts >= 0).long(),
        decoder_input_ids=_pad(rows, start, device),
        decoder_attention_mask=_make_mask(is_seen, weights.dtype),
        use_cache=False,
    ).logits
    row, column = zip(*kept, strict=True)
    return logits[list(row), list(column)]


def _make_mask(is_seen: Any, dtype: Any) -> Any:  # noqa: ANN401  tensors
    """Return what transformers adds to the attention of each token to each other, for all heads."""
    import torch

    mask = torch.zeros(is_seen.shape, device=is_seen.device, dtype=dtype)
    return mask.masked_fill(~is_seen, torch.finfo(dtype).min)[:, None]


def _pad(rows: Sequence[list[int]], filler: int, device: Any) -> Any:  # noqa: ANN401  a tensor
    import torch

    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows], device=device)
