"""Looks at the model that the bot would serve, and at the voices that it may use."""

from collections.abc import Mapping
from pathlib import Path

from bot.access import access_of
from bot.checks.finding import Finding, ok, wrong
from bot.settings import Settings
from bot.texts import EN
from model.artifact import Artifact
from model.errors import ArtifactError
from model.registry import Registry
from model.roster import Decision


def opened(models_dir: Path) -> Artifact:
    """Return the version that serves, once it is sure that its files are whole.

    Raises:
        ArtifactError: There is none, it is damaged, or it was made for another prompt.
    """
    if not models_dir.is_dir():
        raise ArtifactError(
            f"there is no folder {models_dir.absolute()}: start the bot where its folder "
            f"{models_dir.name} is, name another in MODELS_DIR, or make a model with "
            "`understudy retrain`"
        )
    registry = Registry(models_dir)
    if registry.names and registry.current is None:
        raise ArtifactError(
            f"no version in {models_dir} was chosen to serve, and there is "
            f"{', '.join(registry.names)}: choose one with `understudy models promote`"
        )
    return registry.whole("current")


def look(
    artifact: Artifact, settings: Settings, decisions: Mapping[int, Decision]
) -> list[Finding]:
    """Say which model it is, and who agreed to be imitated, in the roster or by `/optin`."""
    card = artifact.card
    access = access_of(card, card.roster, settings, decisions)
    names = ", ".join(person.name for person in access.voices)
    voices = ok("voices", names) if names else wrong("voices", EN.no_voices)
    return [ok("model", f"{artifact.path.name} of {card.base}, whole"), voices]
