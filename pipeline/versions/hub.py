"""Push versions to the Hugging Face hub and pull them."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (  # type: ignore[attr-defined]  # HTTPError: the transport's
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from model.artifacts.archive import MANIFEST, Manifest, OnBytes, build_manifest, list_file_names
from model.artifacts.artifact import Artifact, Card, Chat, save_card, save_roster
from model.chat.names import make_printable
from model.chat.roster import Roster
from model.errors import ArtifactError
from model.files import make_folder, temporary_folder

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

_SCORECARD = "scorecard.json"
_HARMLESS = ("trained_at", "steps", "commit", "hyperparameters")
_FORBIDDEN = {401, 403}
_MOST_MANIFEST = 1 << 20


def open_hub() -> HfApi:
    """Return the hub that the environment names, with the token of who is signed in."""
    return HfApi()


def require_sign_in(api: HfApi) -> str:
    """Return who is signed in at the hub.

    Raises:
        ArtifactError: Nobody, or the hub cannot be reached.
    """
    with _told_in_one_line("the hub"):
        return str(api.whoami()["name"])


def push(api: HfApi, artifact: Artifact, repository: str, *, public: bool) -> str:
    """Put an artifact, weights and all, into a repository, made if need be; return its address.

    Raises:
        ArtifactError: The hub cannot be reached or refuses; or the repository is one that anybody
            can read, and `public` was not said.
    """
    with _told_in_one_line(repository):
        made = api.create_repo(repository, private=not public, exist_ok=True)
        if not public and not api.model_info(made.repo_id).private:
            raise ArtifactError(
                f"anybody can read {made.repo_id}, and the weights have learned the chat: make it "
                "private, choose another, or say --public"
            )
        with temporary_folder(Path(tempfile.gettempdir()), "hub") as staged:
            stage(artifact, staged, made.repo_id, public=public)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=staged, commit_message=f"Add {artifact.path.name}"
            )
    return str(made)


def fetch(api: HfApi, repository: str, folder: Path, told: OnBytes = lambda _: None) -> Manifest:
    """Write a repository's model into a new folder, if it is what its manifest says.

    Raises:
        ArtifactError: The hub cannot be reached, or there is no such model, or it was altered.
    """
    with (
        _told_in_one_line(repository),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".hub-") as temporary,
    ):
        info = api.model_info(repository, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        if (sizes.get(MANIFEST) or _MOST_MANIFEST) >= _MOST_MANIFEST:
            raise ArtifactError(f"{repository} holds no model that understudy pushed")
        text = api.hf_hub_download(repository, MANIFEST, revision=info.sha, local_dir=temporary)
        manifest = _read_manifest(repository, Path(text).read_bytes())
        if any(sizes.get(name) != entry.size for name, entry in manifest.files.items()):
            raise ArtifactError(f"{repository} was altered: its files are not its manifest's")
        api.snapshot_download(
            repository,
            revision=info.sha,
            local_dir=temporary,
            allow_patterns=list(manifest.files),
        )
        _move(manifest, Path(temporary), folder, repository, told)
    return manifest


def stage(artifact: Artifact, staged: Path, repository: str, *, public: bool) -> Manifest:
    """Prepare a repository's content: links to the files, the manifest and the model card.

    The roster is the card's, to which consent was applied, not the file on disk. In a public
    repository, the files other than the weights name only people who agreed.
    """
    names = list_file_names(artifact.path, with_weights=True)
    card = public_card(artifact.card) if public else artifact.card
    if card != artifact.card:
        names = [name for name in names if name != _SCORECARD]
        save_card(card, staged)
    else:
        save_roster(card.roster, staged)
    for name in names:
        path = staged / name
        make_folder(path.parent)
        if not path.exists():
            path.symlink_to((artifact.path / name).resolve())
    manifest = build_manifest(staged, artifact.path.name, names, lambda _: None)
    (staged / MANIFEST).write_text(manifest.to_text(), "utf-8")
    (staged / "README.md").write_text(model_card(artifact.card, repository), "utf-8")
    return manifest


def public_card(card: Card) -> Card:
    """Return a card that anybody may read: of people, only those who agreed to be imitated.

    A chat that is nobody's secret keeps all of it.
    """
    if card.public:
        return card
    agreed = agreed_names(card.roster)
    people = tuple(person for person in card.roster.people if person.name in agreed)
    return replace(
        card,
        base=card.base if HUB_ID.fullmatch(card.base) else Path(card.base).name,
        roster=replace(card.roster, people=people),
        chats=tuple(Chat(chat.chat_id, "a group") for chat in card.chats),
        scores={},
        provenance={key: card.provenance[key] for key in _HARMLESS if key in card.provenance},
        learned=tuple(name for name in card.learned if name in agreed),
    )


def agreed_names(roster: Roster) -> list[str]:
    """Return who said yes to being imitated."""
    return [person.name for person in roster.people if person.imitate == "yes"]


def model_card(card: Card, repository: str) -> str:
    """Return README.md: base, training, and that the weights have learned a chat.

    It names only those who agreed, in private too: a repository may be opened later.
    """
    is_hub_id = HUB_ID.fullmatch(card.base) is not None
    base = f"base_model: {card.base}\n" if is_hub_id else ""
    facts = "\n".join(f"- {about}: {says}" for about, says in _facts(card, is_hub_id=is_hub_id))
    return f"""---
library_name: ctranslate2
pipeline_tag: text-generation
{base}tags:
- understudy
---
# An understudy

A model that goes on with a group chat in its members' voices. It makes things up: nothing that it
writes was said by anybody.

**Its weights have learned the chat.** Whoever can read this repository can draw messages from them.
Do not open it to more people than may read the chat itself.

{facts}

To use it: `understudy models import {repository}`
"""


def _facts(card: Card, *, is_hub_id: bool) -> Iterator[tuple[str, str]]:
    yield "Base", f"{card.base if is_hub_id else Path(card.base).name} ({card.family})"
    agreed = set(agreed_names(card.roster)) & set(card.learned)
    others = len(card.learned) - len(agreed)
    unnamed = [f"{others} who did not agree to be named"] if others else []
    yield "Voices", ", and ".join([", ".join(sorted(agreed)), *unnamed]).removeprefix(", and ")
    yield "Languages", "those of the chat"
    if at := card.provenance.get("trained_at"):
        yield "Trained", f"{str(at)[:10]}, {card.provenance.get('steps', '?')} steps"
    nats = card.scores.get("nats_per_character", {}).get("whole", {})
    if nats:
        told = ", ".join(f"{key} {value:.3f}" for key, value in nats.items())
        yield "Nats a character of replies it never saw", told


def _move(manifest: Manifest, down: Path, folder: Path, repository: str, told: OnBytes) -> None:
    """Move downloaded files to their place if they are what the manifest says."""
    links = [name for name in manifest.files if (down / name).is_symlink()]
    missing = [name for name in manifest.files if not (down / name).is_file()]
    if links or missing or build_manifest(down, manifest.version, manifest.files, told) != manifest:
        raise ArtifactError(f"{repository} was altered: its files are not its manifest's")
    for name in manifest.files:
        make_folder((folder / name).parent)
        (down / name).rename(folder / name)


def _read_manifest(repository: str, text: bytes) -> Manifest:
    try:
        return Manifest.from_text(text)
    except ValueError as error:
        raise ArtifactError(
            f"{repository} holds no trustworthy model: {make_printable(str(error))}"
        ) from error


@contextmanager
def _told_in_one_line(repository: str) -> Iterator[None]:
    """Say what the hub's errors mean, and what to do."""
    offline = f"{repository} cannot be reached: go online and try again"
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ArtifactError(
            "nobody is signed in at the hub: `hf auth login`, or HF_TOKEN"
        ) from error
    except HFValidationError as error:
        raise ArtifactError(f"{repository!r} is no repository's name, like you/model") from error
    except OfflineModeIsEnabled as error:
        raise ArtifactError(offline) from error
    except HfHubHTTPError as error:
        raise ArtifactError(_refusal(repository, error)) from error
    except (EntryNotFoundError, HTTPError) as error:  # what the cache lacks offline; the transport
        raise ArtifactError(offline) from error


def _refusal(repository: str, error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no {repository} that you may read: check the name, and who signed in"
    if status in _FORBIDDEN:
        return f"the hub lets nobody with your token use {repository}: sign in with one that may"
    return f"the hub answered {status} for {repository}: try again later"
