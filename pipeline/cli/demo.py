"""Turn the sample chat into a promoted and evaluated model: the work of `understudy demo`."""

from collections.abc import Callable
from pathlib import Path

from model.artifacts.artifact import SCORECARD, Decoding
from model.artifacts.registry import Registry
from model.chat.prompt import render_context
from model.errors import TrainingError
from model.files import make_folder, write_text
from pipeline.cli.tables import print_headline, print_losses, print_summary
from pipeline.cli.talk import choose_opening
from pipeline.dataset.build import build
from pipeline.dataset.pairs import BuildOptions
from pipeline.dataset.sample import JUDGE_FILE, write_sample
from pipeline.dataset.storage import Dataset, load_dataset
from pipeline.evaluation.evaluate import QUICK, evaluate, write_scorecard
from pipeline.terminal import Progress, clock, print_paragraph
from pipeline.training.hyperparameters import Hyperparameters
from pipeline.training.run import Start, choose_resume, train
from pipeline.training.verdict import summarize_result

CONVERSATION = "conversation.txt"
_HISTORY_LINES = 300  # of earlier conversations in that file


def run_demo(
    folder: Path,
    base: str,
    minutes: float,
    registry: Registry,
    progress: Progress,
    ask: Callable[[str], bool],
    *,
    resume: bool = False,
    restart: bool = False,
) -> None:
    """Promote a model in the registry, and write a held-out conversation for the playground.

    `ask` decides whether to continue an interrupted run, unless an option says so.

    Raises:
        TrainingError: The current version is not the demo's, or it is unclear what to do with a
            checkpoint.
    """
    if registry.current and not registry.open().card.public:
        raise TrainingError(
            f"{registry.current}, trained on your own group, is the current version in "
            f"{registry.root}, and the demo would replace it: run the demo in another clone"
        )
    make_folder(folder)
    console, verbose = progress.console, progress.verbose
    console.rule("1 · A chat, as Telegram Desktop exports it", align="left")
    with progress.step(f"Writing {folder / 'export' / 'result.json'}"):
        export = write_sample(folder / "export")
    console.rule("2 · A dataset of contexts and replies", align="left")
    with progress.step("Building"):
        summary = build([export], folder / "dataset", BuildOptions(public=True))
    print_summary(summary, console, verbose=verbose)
    console.rule(f"3 · Training {base} for {clock(60 * minutes)}", align="left")
    dataset = load_dataset(folder / "dataset")
    resume = choose_resume(dataset, Start(base), registry, ask, resume=resume, restart=restart)
    settings = Hyperparameters(minutes=minutes)
    size = QUICK.for_minutes(minutes)
    progress.evaluation_tokens = size.count_tokens(len(dataset.roster.voices))
    trained = train(dataset, base, registry, settings, Decoding(), progress, resume=resume)
    registry.promote(trained.name)
    conversations = choose_conversations(dataset, seed=1)
    text = "\n\n".join(map("\n".join, conversations))
    write_text(folder / CONVERSATION, f"{text}\n")
    if verbose:
        print_losses(trained.loss, console)
    console.print(f"  {trained.name} is the current version now", highlight=False)
    console.rule("4 · Its scorecard: does it sound like them?", align="left")
    version = registry.open()
    card = evaluate(
        version, dataset, registry.root / "bases", size, 0, progress,
        judge=export.with_name(JUDGE_FILE),
    ).card  # fmt: skip
    write_scorecard(card, version.path / SCORECARD)
    print_headline(card, console, verbose=verbose)
    print_paragraph(summarize_result(trained.loss, card), console)
    console.print(
        f"\n  Full scorecard: {version.path / SCORECARD}", highlight=False, soft_wrap=True
    )


def choose_conversations(dataset: Dataset, seed: int) -> list[list[str]]:
    """Return rendered held-out conversations for the playground; the last one is the open one."""
    opening = choose_opening(dataset.test, dataset.window.size, seed)
    conversations = [list(opening.context)]
    for session in reversed(list(dataset.sessions("test"))):
        if sum(map(len, conversations[1:])) >= _HISTORY_LINES:
            break
        if session.number != opening.session:
            conversations.append(list(render_context(session.lines)))
    return conversations[::-1]
