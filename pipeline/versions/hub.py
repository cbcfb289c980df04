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
from model.artifacts.artifact import Artifact, Card, LearnedChat, save_card, save_roster
from model.chat.names import make_printable
from model.chat.roster import Roster
from model.errors import ArtifactError
from model.files import make_folder, temporary_folder

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)

_SCORECARD = "scorecard.json"
_PUBLIC_PROVENANCE = ("trained_at", "steps", "commit", "hyperparameters")
_FORBIDDEN_STATUSES = {401, 403}
_MAX_MANIFEST_BYTES = 1 << 20


def open_hub() -> HfApi:
    """Return a client for the hub specified in the environment, with the user's token."""
    return HfApi()


def require_sign_in(api: HfApi) -> str:
    """Return the name of the user who is signed in to the hub.

    Raises:
        ArtifactError: Nobody is signed in, or the hub cannot be reached.
    """
    with _translate_hub_errors("the hub"):
        return str(api.whoami()["name"])


def push(api: HfApi, artifact: Artifact, repository: str, *, public_repo: bool) -> str:
    """Upload an artifact with its weights, create the repository if needed, return its URL.

    Raises:
        ArtifactError: The hub cannot be reached or refuses, or the repository is public and
            `public_repo` is false.
    """
    with _translate_hub_errors(repository):
        made = api.create_repo(repository, private=not public_repo, exist_ok=True)
        if not public_repo and not api.model_info(made.repo_id).private:
            raise ArtifactError(
                f"anybody can read {made.repo_id}, and the weights have learned the chat: make it "
                "private, choose another repository, or use --public-repo"
            )
        with temporary_folder(Path(tempfile.gettempdir()), "hub") as staged:
            stage(artifact, staged, made.repo_id, public_repo=public_repo)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=staged, commit_message=f"Add {artifact.path.name}"
            )
    return str(made)


def pull(api: HfApi, repository: str, folder: Path, on_bytes: OnBytes = lambda _: None) -> Manifest:
    """Download a repository's model into a new folder and check it against its manifest.

    Raises:
        ArtifactError: The hub cannot be reached, there is no model of this kind, or its files
            differ from its manifest.
    """
    with (
        _translate_hub_errors(repository),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".hub-") as temporary,
    ):
        info = api.model_info(repository, files_metadata=True)
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        if (sizes.get(MANIFEST) or _MAX_MANIFEST_BYTES) >= _MAX_MANIFEST_BYTES:
            raise ArtifactError(f"{repository} contains no model that Understudy pushed")
        text = api.hf_hub_download(repository, MANIFEST, revision=info.sha, local_dir=temporary)
        try:
            manifest = Manifest.from_text(Path(text).read_bytes())
        except ValueError as error:
            raise ArtifactError(
                f"{repository} contains a damaged or modified model: {make_printable(str(error))}"
            ) from error
        altered = f"{repository} was altered: its files differ from its manifest"
        if any(sizes.get(name) != entry.size for name, entry in manifest.files.items()):
            raise ArtifactError(altered)
        api.snapshot_download(
            repository,
            revision=info.sha,
            local_dir=temporary,
            allow_patterns=list(manifest.files),
        )
        downloaded = [Path(temporary) / name for name in manifest.files]
        if (
            any(path.is_symlink() or not path.is_file() for path in downloaded)
            or build_manifest(Path(temporary), manifest.version, manifest.files, on_bytes)
            != manifest
        ):
            raise ArtifactError(altered)
        for name, path in zip(manifest.files, downloaded, strict=True):
            make_folder((folder / name).parent)
            path.rename(folder / name)
    return manifest


def stage(artifact: Artifact, staged: Path, repository: str, *, public_repo: bool) -> Manifest:
    """Prepare a repository's content: links to the files, the manifest and the model card.

    The roster is the card's, with people's decisions applied, not the file on disk. In a public
    repository, the files other than the weights mention only people who agreed.
    """
    names = list_file_names(artifact.path, with_weights=True)
    card = public_card(artifact.card) if public_repo else artifact.card
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
    """Return a card without the people who did not agree to be imitated.

    The card of a public chat stays complete.
    """
    if card.public:
        return card
    agreed = agreed_names(card.roster)
    people = tuple(person for person in card.roster.people if person.name in agreed)
    return replace(
        card,
        base=card.base if HUB_ID.fullmatch(card.base) else Path(card.base).name,
        roster=replace(card.roster, people=people, optouts=()),
        chats=tuple(LearnedChat(chat.chat_id, "a group") for chat in card.chats),
        scores={},
        provenance={
            key: card.provenance[key] for key in _PUBLIC_PROVENANCE if key in card.provenance
        },
        learned=tuple(name for name in card.learned if name in agreed),
    )


def agreed_names(roster: Roster) -> list[str]:
    """Return the names of the people who agreed to be imitated."""
    return [person.name for person in roster.people if person.imitate == "yes"]


def terms_notice(base: str) -> str:
    """Return the sentence that must accompany models trained from a base, or ""."""
    if "gemma" not in base.casefold():
        return ""
    return (
        "Gemma is provided under and subject to the Gemma Terms of Use found at "
        "ai.google.dev/gemma/terms"
    )


def model_card(card: Card, repository: str) -> str:
    """Return README.md: base, training, and a warning that the weights have learned a chat.

    It mentions only people who agreed, even in a private repository, which may become public later.
    """
    is_hub_id = HUB_ID.fullmatch(card.base) is not None
    base = f"base_model: {card.base}\n" if is_hub_id else ""
    facts = "\n".join(
        f"- {label}: {value}" for label, value in _list_facts(card, is_hub_id=is_hub_id)
    )
    return f"""---
library_name: ctranslate2
pipeline_tag: text-generation
{base}tags:
- understudy
---
# An understudy

A model that continues a group chat in the voices of its members. It makes things up: nobody said
what it writes.

**Its weights have learned the chat.** Anyone who can read this repository can extract messages from
them. Do not give access to people who may not read the chat itself.

{facts}

To use it: `understudy models import {repository}`
"""


def _list_facts(card: Card, *, is_hub_id: bool) -> Iterator[tuple[str, str]]:
    yield "Base", f"{card.base if is_hub_id else Path(card.base).name} ({card.family})"
    if notice := terms_notice(card.base):
        yield "Terms", notice
    agreed = set(agreed_names(card.roster)) & set(card.learned)
    others = len(card.learned) - len(agreed)
    unnamed = [f"{others} who did not agree to be named"] if others else []
    yield "Voices", ", and ".join([", ".join(sorted(agreed)), *unnamed]).removeprefix(", and ")
    yield "Languages", "those of the chat"
    if at := card.provenance.get("trained_at"):
        yield "Trained", f"{str(at)[:10]}, {card.provenance.get('steps', '?')} steps"
    nats = card.scores.get("nats_per_character", {}).get("whole", {})
    if nats:
        losses = ", ".join(f"{key} {value:.3f}" for key, value in nats.items())
        yield "Nats per character on held-out replies", losses


@contextmanager
def _translate_hub_errors(repository: str) -> Iterator[None]:
    """Turn the hub's errors into one line that says what to do."""
    offline = f"{repository} cannot be reached: go online and try again"
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ArtifactError(
            "you are not signed in to the hub: run `hf auth login`, or set HF_TOKEN"
        ) from error
    except HFValidationError as error:
        raise ArtifactError(
            f"{repository!r} is not a repository name: use one such as you/model"
        ) from error
    except OfflineModeIsEnabled as error:
        raise ArtifactError(offline) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if isinstance(error, RepositoryNotFoundError):
            text = f"the hub has no {repository} that you may read: check the name and your account"
        elif status in _FORBIDDEN_STATUSES:
            text = f"your token may not use {repository}: sign in with one that may"
        else:
            text = f"the hub answered {status} for {repository}: try again later"
        raise ArtifactError(text) from error
    except (EntryNotFoundError, HTTPError) as error:  # missing from the cache while offline
        raise ArtifactError(offline) from error
