"""A scorecard as tables in the terminal, for 80 columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from pipeline.tables import table
from pipeline.verdict import voice_sentence

Card = Mapping[str, Any]
"""What stands in scorecard.json."""

_ARMS = {
    "generated": "tuned, as it speaks",
    "unranked": "tuned, one candidate",
    "swapped": "tuned, speakers swapped",
    "base": "untuned base",
    "markov": "Markov chain a person",
    "nearest": "nearest training turn",
    "ceiling": "real replies",
    "ceiling_unseen": "real, not in training",
}
_GLANCED = ("generated", "swapped", "base", "ceiling")
_SHORT = {
    "generated": "tuned", "unranked": "unranked", "swapped": "swapped", "base": "base",
    "markov": "Markov", "nearest": "nearest", "ceiling": "real",
}  # fmt: skip
_SIZES = ("bags_of_1", "bags_of_5", "bags_of_10")


def print_scorecard(card: Card, console: Console) -> None:
    """Print every section, intervals of 95 % in brackets where there is room."""
    for title, lines in (
        ("Whose lines are these? Macro-F1 of a classifier that knows real lines", _attribution),
        ("The same by words and habits, which no tuning looked at", _by_words),
        ("Bags of 10 as it speaks: whose (down), taken for (across)", _confusion),
        ("What real turns cost, nats a character; lower is better", _nats),
        ("Each arm's lines", _arms),
        ("Habits: generated / real, a line; burst: messages a turn", _habits),
    ):
        console.print(f"\n  {title}", style="bold", highlight=False)
        console.print(Padding.indent(lines(card), 2))
    console.print()
    for line in _words(card):
        console.print(Text(f"  {line}"))


def print_glance(card: Card, console: Console) -> None:
    """Print what a quick judgement can tell: whose the lines are taken for, costs, what leaks."""
    chance = card["attribution"]["chance"]
    console.print(f"  Macro-F1 of a classifier that knows real lines; chance is {chance:.2f}")
    rows = table("who speaks", "lines", "bags of 1", "bags of 5", "copied")
    for arm in _GLANCED:
        found = (card["attribution"][f"bags_of_{size}"][arm] for size in (1, 5))
        rows.add_row(
            _ARMS[arm],
            f"{card['replies'][arm]['lines']:,}",
            *(f"{value:.2f}" for value in found),
            f"{card['copied']['real' if arm == 'ceiling' else arm]:.1%}",
        )
    console.print(Padding.indent(rows, 2))
    console.print()
    for line in _at_a_glance(card):
        console.print(Text(f"  {line}"))


def _at_a_glance(card: Card) -> Iterator[str]:
    nats = card["nats_per_char"]
    tuned, base = (f"{nats[arm]:.2f}" for arm in ("tuned", "base"))
    yield f"Real turns cost {tuned} nats a character, by the untuned base {base}"
    yield _right_name(card)
    yield f"Private data: in {card['personal_data']} of {card['personal_data_lines']:,} lines"
    yield "So few lines tell a voice from none; `understudy evaluate` judges more of them"


def _attribution(card: Card) -> Any:  # noqa: ANN401  a table of rich's
    return _f1(card, "attribution")


def _by_words(card: Card) -> Any:  # noqa: ANN401
    return _f1(card, "attribution.words_and_habits")


def _f1(card: Card, place: str) -> Any:  # noqa: ANN401
    rows = table("who speaks", "bags of 1", "bags of 5", "bags of 10")
    for arm, title in _ARMS.items():
        names = (f"{place}.{size}.{arm}" for size in _SIZES)
        rows.add_row(title, *(_with_interval(card, name) for name in names))
    return rows


def _confusion(card: Card) -> Any:  # noqa: ANN401
    found = card["attribution"]
    rows = table("", *(_short(voice) for voice in found["voices"]))
    for voice, shares in zip(
        found["voices"], found["confusion"]["bags_of_10"]["generated"], strict=True
    ):
        rows.add_row(Text(voice), *(f"{share:.0%}" for share in shares))
    return rows


def _nats(card: Card) -> Any:  # noqa: ANN401
    rows = table("voice", "tuned", "base", "no context", "perplexity", "right name wins")
    nats, right, perplexity = card["nats_per_char"], card["right_voice"], card["perplexity"]
    arms = ("tuned", "base", "no_context")
    for voice, own in nats["voices"].items():
        figures = (f"{own[arm]:.2f}" for arm in arms)
        known = (f"{perplexity['voices'][voice]:.1f}", f"{right['voices'][voice]:.0%}")
        rows.add_row(Text(voice), *figures, *known)
    for title, own, share in (
        ("all", nats, right["share"]),
        ("not in training", nats["unseen"], right["unseen"]),
    ):
        known = (f"{perplexity['tuned']:.1f}" if own is nats else "", f"{share:.0%}")
        rows.add_row(title, *(f"{own[arm]:.2f}" for arm in arms), *known)
    return rows


def _arms(card: Card) -> Any:  # noqa: ANN401
    rows = table("who speaks", "lines", "copied", "habits", "real?", "distinct-2", "self-BLEU",
                 "chrF", "ROUGE-L")  # fmt: skip
    for arm, title in _SHORT.items():
        rows.add_row(title, *_arm(card, arm))
    return rows


def _arm(card: Card, arm: str) -> Iterator[str]:
    """Yield an arm's figures, nothing where a metric is not of it."""
    overlap = card["overlap"].get(arm, {})
    yield f"{card['replies'][arm]['lines']:,}"
    yield f"{card['copied']['real' if arm == 'ceiling' else arm]:.1%}"
    yield _shown(card["habits"]["distance"].get(arm))
    yield _shown(card["real_or_not"].get(arm))
    yield _shown(card["diversity"][arm]["distinct_2"])
    yield _shown(card["diversity"][arm]["self_bleu"])
    yield _shown(overlap.get("chrf"), 1)
    yield _shown(overlap.get("rouge", {}).get("rougeL"))


def _habits(card: Card) -> Any:  # noqa: ANN401
    voices = card["habits"]["voices"]
    rows = table("", *(_short(voice) for voice in voices))
    for habit in next(iter(voices.values()), {}):
        pairs = (own[habit] for own in voices.values())
        rows.add_row(
            habit.replace("_", " "), *(f"{p['generated']:.2f} / {p['real']:.2f}" for p in pairs)
        )
    return rows


def _words(card: Card) -> Iterator[str]:
    """Yield what is one figure."""
    yield voice_sentence(card)
    found, ranking, canaries = card["attribution"], card["ranking"], card["canaries"]
    yield (
        f"Bags of 10 reach {found['share_of_ceiling']:.0%} of the real replies' figure; chance is "
        f"{found['chance']:.2f}"
    )
    bags, copies = ranking["bags_of_10"], ranking["copied"]
    yield (
        f"Choosing the best of {ranking['candidates']}: {bags['one_candidate']:.2f} to "
        f"{bags['ranked']:.2f} in bags of 10, copied {copies['one_candidate']:.1%} to "
        f"{copies['ranked']:.1%}"
    )
    yield _right_name(card)
    floor, roof = (card["habits"]["distance"][key] for key in ("training", "others"))
    yield f"Habits: as many real training turns are {floor:.2f} away, other people's {roof:.2f}"
    yield "real? is how well a classifier tells the lines from real ones: 0.5, not at all"
    yield f"Private data: in {card['personal_data']} of {card['personal_data_lines']:,} lines"
    if canaries["planted"]:
        yield (
            f"Canaries: {canaries['said']} of {canaries['planted']} said; exposure "
            f"{canaries['exposure_mean']:.1f} bits, at most {canaries['exposure_most']:.1f}"
        )
    if card["held_out"] != "test":
        yield f"Judged by {card['held_out']} talk, to choose settings by: no figures to show"
    if card["quick"]:
        yield "Few lines: for narrower intervals leave out --quick"


def _right_name(card: Card) -> str:
    low, high = card["intervals"]["right_voice.share"]
    return (
        f"The right name wins for {card['right_voice']['share']:.0%} of real turns "
        f"[{low:.0%} to {high:.0%}], chance {card['right_voice']['chance']:.0%}"
    )


def _with_interval(card: Card, name: str) -> str:
    """Return a figure and its interval: 0.52 [0.41 0.63]."""
    value: Any = card
    for key in name.split("."):
        value = value[key]
    low, high = card["intervals"][name]
    return f"{value:.2f} [{low:.2f} {high:.2f}]"


def _shown(value: float | None, places: int = 2) -> str:
    return "" if value is None else f"{value:.{places}f}"


def _short(voice: str, most: int = 11) -> str:
    return voice if len(voice) <= most else f"{voice[: most - 1]}…"
