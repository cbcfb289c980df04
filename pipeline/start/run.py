"""Run the steps of `understudy start` in order; the answers of each step are saved."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from model.artifacts.artifact import Artifact
from model.artifacts.commands import (
    models_option,
    promote_command,
    purge_command,
    short_name,
    short_path,
)
from model.artifacts.registry import Registry
from model.chat.names import make_printable_name
from model.chat.roster import Roster
from model.errors import BaseError, UnderstudyError
from model.files import locked, make_folder
from pipeline.dataset.language import find_chat_languages, name_languages
from pipeline.dataset.roster_file import MIN_MESSAGES, ROSTER_FILE, read_roster
from pipeline.export.archive import Archive, open_exports
from pipeline.export.files import ExportFile
from pipeline.retrain.request import RetrainRequest, RetrainResult
from pipeline.start.answers import FILE, Answers, load_answers, save_answers
from pipeline.start.asking import Asker, GoBack, join_names, number_lines
from pipeline.start.bases import ask_base, confirm_terms, suggest_minutes
from pipeline.start.bot_setup import BotSetup
from pipeline.start.exports import (
    RESULT,
    describe_chat,
    export_folders,
    find_exports,
    find_html_exports,
    list_chats,
)
from pipeline.start.people import ask_people, choose_minimum, describe_consent
from pipeline.start.request import StartRequest
from pipeline.terminal import Progress
from pipeline.training.wheels import check_terms
from pipeline.versions.lineage import find_versions_trained_on

STEPS = (
    "The export",
    "The chat",
    "The people",
    "The base",
    "Training",
    "Sample replies",
    "The bot",
)
_HOW = (
    "In Telegram Desktop open the group, then ⋮ and Export chat history, without media, in the "
    "format Machine-readable JSON."
)
_LOCK = "start.lock"
_FIRST_QUESTION = "There is no question before this one."


@dataclass(frozen=True, slots=True)
class StartDependencies:
    """The functions that train a version, print its samples, and run the bot's program.

    `retrain` also gets the function that asks a yes-or-no question. `show_samples` prints three
    samples and takes a random seed. `write_env` runs `understudy-bot setup`, and `run_bot` runs the
    bot.
    """

    asker: Asker
    retrain: Callable[[RetrainRequest, Callable[[str], bool]], RetrainResult]
    show_samples: Callable[[Artifact, int], None]
    write_env: Callable[[], None]
    run_bot: Callable[[], None]
    progress: Progress
    folders: Callable[[], list[Path]] = export_folders


def start(request: StartRequest, dependencies: StartDependencies) -> None:
    """Go through the steps that are not done yet.

    Raises:
        UnderstudyError: An answer cannot be used, or another start is running in this folder. The
            answers before it are kept.
    """
    with locked(request.root / _LOCK, wait=False) as is_alone:
        if not is_alone:
            raise UnderstudyError(
                f"another `understudy start` is running in {request.root}: stop it, or use another "
                "folder with --models-dir PATH"
            )
        _Steps(request, dependencies).run()


class _Steps:
    """The steps and the answers so far."""

    def __init__(self, request: StartRequest, dependencies: StartDependencies) -> None:
        self._request, self._dependencies = request, dependencies
        self._ask, self._root = dependencies.asker, request.root
        self._answers = Answers() if request.restart else load_answers(request.root)
        self._registry = Registry(request.root)
        self._asked: list[int] = []  # the steps before the training that asked something
        self._seconds: float | None = None  # per pass over the chat, if the speed was measured

    def run(self) -> None:
        """Run all steps."""
        self._greet()
        self._ask_everything()
        self._ask = replace(self._ask, allows_back=False)
        self._train()
        self._show_samples()
        self._set_up_bot()

    def _ask_everything(self) -> None:
        """Ask all that training needs; `back` forgets the answers of the last step that asked."""
        of_people: dict[str, object] = {"has_people": False}
        if self._request.consent.is_given:  # then only the chat is asked for
            of_people = {"chat_id": None}
        steps: tuple[tuple[Callable[[], bool], dict[str, object]], ...] = (
            (self._choose_export, {"export": None}),
            (self._choose_chat_and_people, of_people),
            (self._choose_base, {"base": None}),
            (self._choose_minutes, {"minutes": None}),
        )
        number = 0
        while number < len(steps):
            step, _ = steps[number]
            try:
                if step():
                    self._asked.append(number)
                number += 1
            except GoBack:
                if self._asked:
                    number = self._asked.pop()
                    self._save(**steps[number][1])
                else:
                    self._ask.say(_FIRST_QUESTION, "yellow")

    def _greet(self) -> None:
        known = self._answers
        if known == Answers():
            self._ask.say(
                "From your group's export to a bot that answers in your friends' voices. Most "
                "steps also show the equivalent command. Type back to return to the previous "
                "question. Ctrl-C stops; start again to continue."
            )
            return
        self._ask.say(f"Continuing where you stopped ({self._root / FILE}; --restart discards it).")
        facts = {
            "export": short_path(Path(known.export)) if known.export else None,
            "chat": make_printable_name(known.chat) if known.chat_id is not None else None,
            "people": str(self._root / ROSTER_FILE) if known.has_people else None,
            "base": known.base,
            "minutes": f"{known.minutes:g} of training; --minutes changes it"
            if known.minutes is not None and not known.version
            else None,
            "version": known.version,
            "bot": f"@{known.bot}" if known.bot else None,
        }
        self._ask.say("\n".join(f"{name:8} {value}" for name, value in facts.items() if value))

    @property
    def _is_trained(self) -> bool:
        """Whether there is a version of these answers: then the export is not needed."""
        return self._answers.version in self._registry.names

    def _title(self, number: int) -> None:
        self._ask.title(number, len(STEPS), STEPS[number - 1])

    def _save(self, **changes: object) -> None:
        self._answers = replace(self._answers, **changes)  # type: ignore[arg-type]  # by name
        save_answers(self._answers, self._root)

    def _choose_export(self) -> bool:
        given, known = self._request.export, self._answers.export
        if given is not None:
            file = (given / RESULT if given.is_dir() else given).resolve()
            if not file.is_file():
                raise UnderstudyError(f"there is no file {file}. {_HOW}")
            if str(file) != known:
                self._answers = Answers()
                self._save(export=str(file))
            return False
        if self._is_trained or (known and Path(known).is_file()):
            return False
        self._answers = Answers()
        self._title(1)
        folders = self._dependencies.folders()
        found = find_exports(folders)
        if not found:
            html = [short_path(path) for path in find_html_exports(folders)]
            self._ask.say(f"Found no export. {_HOW}")
            if html:
                self._ask.say(f"An HTML export cannot be read: {join_names(html, 3)}", "yellow")
            file = self._ask_for_file()
        else:
            self._ask.say(number_lines([f"{one}  {short_path(one.file.parent)}" for one in found]))
            file = self._ask_for_file([one.file for one in found])
        self._save(export=str(file))
        return True

    def _ask_for_file(self, found: Sequence[Path] = ()) -> Path:
        """Ask for a path, or for the number of an export that was found."""
        while True:
            if found:
                answer = self._ask.ask("Which export, by number or path", "1", "--export")
            else:
                answer = self._ask.ask("Where is the export", None, "--export PATH")
            if answer.isdecimal() and 1 <= int(answer) <= len(found):
                return found[int(answer) - 1]
            if answer.isdecimal():
                self._ask.say(f"There is no number {answer} in the list.", "yellow")
                continue
            typed = answer.strip("'\"").replace("\\ ", " ")  # as a terminal pastes a dropped file
            path = Path(typed).expanduser()
            file = path / RESULT if path.is_dir() else path
            if not file.is_file() and len(inside := find_exports([path])) == 1:
                file = inside[0].file  # the folder that contains the export
            if file.is_file() and file.suffix == ".json":
                return file.resolve()
            if (path / "messages.html").is_file():
                self._ask.say(f"{path} is an HTML export, which cannot be read. {_HOW}", "yellow")
            else:
                self._ask.say(f"There is no result.json at {path}. {_HOW}", "yellow")

    def _choose_chat_and_people(self) -> bool:
        known, wanted = self._answers, self._request.chat
        roster = self._root / ROSTER_FILE
        has_people = known.has_people and roster.is_file() and not self._request.consent.is_given
        if known.chat_id is not None and has_people and self._is_chosen_chat():
            return False
        if self._is_trained and wanted is None and not self._request.consent.is_given:
            return False
        self._title(2)
        export = Path(known.export or "")
        self._ask.print_command("understudy", "inspect", _folder_of(export))
        with self._opened(export) as archive:
            chat_id = known.chat_id if self._is_chosen_chat() else None
            has_choice = wanted is None and len(list_chats(archive)) > 1
            while True:
                if chat_id is None:
                    chat_id = self._choose_chat(archive)
                try:
                    self._choose_people(archive, chat_id, export)
                except GoBack:
                    if has_choice:
                        chat_id = None
                    elif self._asked:
                        raise
                    else:
                        self._ask.say(_FIRST_QUESTION, "yellow")
                else:
                    return has_choice or not self._request.consent.is_given

    def _is_chosen_chat(self) -> bool:
        """Whether --chat is missing, or names the chat that was chosen before."""
        return self._request.chat in {None, self._answers.chat, str(self._answers.chat_id)}

    @contextmanager
    def _opened(self, export: Path) -> Iterator[Archive]:
        """Read the export; one that cannot be read is forgotten, so that the next start asks."""
        with ExitStack() as stack:
            try:
                reading = open_exports([export], progress=self._dependencies.progress)
                archive = stack.enter_context(reading)
            except UnderstudyError:
                self._save(export=None)
                raise
            yield archive

    def _choose_chat(self, archive: Archive) -> int:
        chats = list_chats(archive)
        if not chats:
            self._save(export=None)
            raise UnderstudyError("the export contains no messages: export the chat again")
        if self._request.chat is not None:
            chosen = archive.only(self._request.chat)
        elif len(chats) == 1:
            chosen = chats[0][0]
        else:
            self._ask.say(number_lines([describe_chat(*chat) for chat in chats]))
            chosen = chats[self._ask.choose("Which chat", len(chats), "--chat NAME") - 1][0]
        messages = archive.spool.counts(chosen.chat_id).messages
        languages = find_chat_languages(archive.spool, chosen.chat_id)
        self._ask.say(describe_chat(chosen, messages))
        if languages:
            self._ask.say(f"Language: {name_languages(languages)}.")
        kept = Answers(export=self._answers.export, languages=" ".join(languages))
        self._answers = replace(kept, chat_id=chosen.chat_id, chat=chosen.name, messages=messages)
        self._save()
        return chosen.chat_id

    def _choose_people(self, archive: Archive, chat_id: int, export: Path) -> None:
        self._title(3)
        authors = archive.spool.authors(chat_id)
        minimum = choose_minimum(authors, self._request.min_messages)
        file = self._root / ROSTER_FILE
        make_folder(self._root)
        self._ask.print_command(
            "understudy", "inspect", _folder_of(export), f"--chat={chat_id}", "--roster", file
        )
        roster = ask_people(
            self._ask, authors, file, export.with_name(ROSTER_FILE), minimum, self._request.consent,
            recent_texts=partial(archive.spool.recent_texts, chat_id),
            answered=self._answers.consented,
            on_stop=lambda answered: self._save(consented=answered, min_messages=minimum),
        )  # fmt: skip
        summary = describe_consent(roster)
        self._ask.say(f"{summary[:1].upper()}{summary[1:]}.")
        self._ask.say(f"Wrote {file}. You can edit it at any time, then train again.")
        if not any(person.imitate == "yes" for person in roster.people):
            self._ask.say(
                "Nobody has agreed yet, so the bot will be silent in the group until somebody "
                "sends it /optin. On this machine you can try all voices.",
                "yellow",
            )
        self._save(
            has_people=True, consented=None, min_messages=minimum, version=None,
            has_seen_samples=False,
        )  # fmt: skip

    def _choose_base(self) -> bool:
        given, known = self._request, self._answers
        if known.version:
            return False
        base = given.base or known.base
        if base != known.base:
            self._save(base=base, lora=False)
        if base is None or (given.minutes is None and self._answers.minutes is None):
            self._title(4)
        cache, accepted = self._root / "bases", given.accepts_terms
        if base is not None:
            confirm_terms(self._ask, base, cache, accepted=accepted)
            check_terms(base, cache)
            return False
        self._ask.print_command("understudy", "doctor")
        base, lora, self._seconds = ask_base(
            self._ask, known.messages, known.languages.split(), cache, accepts_terms=accepted
        )
        self._save(base=base, lora=lora)
        return True

    def _choose_minutes(self) -> bool:
        given, known = self._request.minutes, self._answers
        if known.version:
            return False
        if given is None and known.minutes is None:
            self._save(minutes=self._ask_minutes(suggest_minutes(self._seconds)))
            return True
        if given is not None:
            self._save(minutes=given)
        return False

    def _ask_minutes(self, suggested: int) -> float:
        self._ask.say(
            "After 5 minutes on two cores the replies are fluent; after an hour they begin to "
            "sound like your friends. A GPU is much faster. Training may stop earlier on its own.",
            "dim",
        )
        while True:
            answer = self._ask.ask("Minutes of training", str(suggested), "--minutes")
            try:
                if 0 < (minutes := float(answer.replace(",", "."))) < float("inf"):
                    return minutes
            except ValueError:
                pass
            self._ask.say("Type a number of minutes, such as 60.", "yellow")

    def _train(self) -> None:
        known = self._answers
        if self._is_trained:
            return
        self._title(5)
        current = self._registry.current
        if current and not self._registry.open(current).card.public:
            self._use(current)
            return
        export = Path(known.export or "")
        hyperparameters = {"minutes": known.minutes, **self._request.hyperparameters}
        lora = ["--lora"] if known.lora else []
        if lora:
            hyperparameters["lora"] = True
        has_usual_minimum = known.min_messages in {0, MIN_MESSAGES}
        minimum = [] if has_usual_minimum else ["--min-messages", known.min_messages]
        other = self._request.hyperparameters.items()
        self._ask.print_command(
            "understudy", "retrain", _folder_of(export), f"--chat={known.chat_id}",
            "--base", known.base, "--minutes", f"{known.minutes:g}", *lora, *minimum,
            *(f"--set={name.replace('_', '-')}={value}" for name, value in other),
            models_dir=self._root,
        )  # fmt: skip
        request = RetrainRequest(
            files=(ExportFile(export),),
            root=self._root,
            chat=str(known.chat_id),
            base=known.base,
            min_messages=known.min_messages,
            hyperparameters=hyperparameters,
        )
        try:
            result = self._dependencies.retrain(request, self._ask_in_training)
        except BaseError:
            self._save(base=None)  # the next start asks for another
            raise
        if result.version is None:
            raise UnderstudyError(result.message)
        if not result.promoted:
            self._ask.say(result.message, "yellow")
            if not self._ask.confirm("Use it anyway?", default=False):
                raise UnderstudyError(
                    f"{result.version} is kept, but not used: to use it, run "
                    f"{promote_command(self._root, result.version)}"
                )
            self._registry.promote(result.version)
        self._save(version=result.version)

    def _use(self, version: str) -> None:
        """Take an existing version instead of training, with the answers about people.

        Raises:
            UnderstudyError: It was trained on another chat, or people have other names now.
        """
        chat = self._registry.open(version).card.chats[0]
        if chat.chat_id != self._answers.chat_id:
            raise UnderstudyError(
                f"the models in {self._root} were trained on {make_printable_name(chat.title)}: "
                "use another folder for this chat with --models-dir PATH"
            )
        file = self._root / ROSTER_FILE
        self._refuse_learned(version, read_roster(file))
        self._ask.say(f"{self._root} already has {version}, trained on this chat: using that.")
        self._ask.print_command(
            "understudy", "models", "roster", short_name(version), file,
            models_dir=self._root,
        )  # fmt: skip
        self._registry.change_roster(version, read_roster(file))
        self._ask.say("To train on newer messages later, export again, then:")
        files = ("ChatExport_…/result.json", "live.json")
        self._ask.print_command("understudy", "retrain", *files, models_dir=self._root)
        self._save(version=version)

    def _refuse_learned(self, version: str, roster: Roster) -> None:
        """Raise UnderstudyError if a version has learned from people who are excluded now."""
        names = [
            person.name
            for person in roster.people
            if person.learn == "no"
            and version in find_versions_trained_on(self._registry, person.ids, person.name)
        ]
        if names:
            export = _folder_of(Path(self._answers.export or "EXPORT"))
            raise UnderstudyError(
                f"{version} was trained on messages of {join_names(names)}: to train without them, "
                f"run understudy retrain {export} --force-training{models_option(self._root)}, "
                f"then {purge_command(names[0], self._root)}"
            )

    def _ask_in_training(self, question: str) -> bool:
        return self._ask.confirm(question, default=True)

    def _show_samples(self) -> None:
        if self._answers.has_seen_samples:
            return
        self._title(6)
        artifact = self._registry.open(self._answers.version or "current")
        voices = artifact.card.roster.voices
        voice = voices[0].name if voices else "anyone"
        self._ask.print_command("understudy", "chat", "--as", voice, models_dir=self._root)
        number = 0
        self._dependencies.show_samples(artifact, number)
        while self._ask.confirm("Three more?", default=False):
            number += 1
            self._dependencies.show_samples(artifact, number)
        self._save(has_seen_samples=True)

    def _set_up_bot(self) -> None:
        self._title(7)
        request = self._request
        if request.skip_bot:
            self._ask.say("Skipped. To set up the bot later, run:")
            self._ask.print_command("understudy", "start", models_dir=self._root)
            self._explain_without_bot()
            return
        setup = BotSetup(
            self._ask,
            self._root,
            request.token,
            request.admin,
            self._dependencies.write_env,
            on_token=lambda username: self._save(bot=username),
        )
        if setup.run():
            sys.stdout.flush()
            self._dependencies.run_bot()
        elif self._answers.bot is None:
            self._explain_without_bot()

    def _explain_without_bot(self) -> None:
        self._ask.say("Until then: the bot in your browser, without Telegram, and a report.")
        self._ask.print_command("understudy-bot", "playground", models_dir=self._root)
        self._ask.print_command("understudy", "report", models_dir=self._root)


def _folder_of(export: Path) -> Path:
    """Return the shortest path that commands accept for an export."""
    return export.parent if export.name == RESULT else export
