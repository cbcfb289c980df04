"""The command `people`."""

from rich.console import Console
from rich.text import Text

from model.artifacts.registry import Registry, explain_no_model
from pipeline.cli.options import MODELS, ModelsDir
from pipeline.terminal import table
from pipeline.versions.people import list_statuses

_IMITATED = {"yes": "yes", "ask": "if they agree", "no": "no"}


def people(models_dir: ModelsDir = MODELS) -> None:
    """Show whose messages are used, who is imitated, and why.

    Uses the roster as of the last training, retraining or import, and the decisions in dumps and
    imported models.
    """
    found = list_statuses(Registry(models_dir))
    if not found:
        print(explain_no_model(models_dir))
        return
    headings = ("person", "learned from", "imitated", "why")
    people = table(*headings, words=headings)
    for one in found:
        people.add_row(*map(Text, (one.name, one.learn, _IMITATED[one.imitate], one.reason)))
    Console(highlight=False).print(people)
