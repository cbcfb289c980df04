"""`understudy start` from an export to the bot: asked, stopped and continued, or by options."""

import json
import shutil

import pytest

from model.artifacts.artifact import LearnedChat
from model.artifacts.commands import DEFAULT_MODELS
from model.artifacts.registry import Registry
from model.errors import BaseError, UnderstudyError
from model.files import locked
from pipeline.dataset.roster_file import read_roster
from pipeline.retrain.request import RetrainResult
from pipeline.start import run as module
from pipeline.start.answers import Answers, load_answers
from pipeline.start.people import NamedConsent
from pipeline.start.run import StartDependencies, StartRequest, start
from pipeline.terminal import Progress
from tests.command_line import understudy
from tests.habits import HABITS, write_export
from tests.model.fake_artifacts import make
from tests.pipeline.chats import account, chat, conversation, write
from tests.pipeline.start.fake_telegram import TOKEN

ANSWERS = (
    "", "1",  # the newest export, the first chat
    "", "", "y", "",  # different people, their names, who agreed
    "smollm2", "30",  # base and minutes
    "y", "",  # three more samples, then on
    "1:wrong", TOKEN, "", "y", "y",  # token, who wrote to the bot, its admin, start
)  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that start runs in, with an account's export in Downloads."""
    friends = chat(*conversation(40))
    work = chat(*conversation(2), name="Work", id=5)
    write(tmp_path / "Downloads" / "ChatExport_2024-03-31", account(work, friends))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr("pipeline.start.run.ask_base", ask_base)
    return place


def ask_base(asker, messages, languages, cache, *, accepts_terms):
    return asker.ask("Which base", "smollm2"), False, 60.0 * messages


class World:
    """Fakes of what is slow: a retraining that makes a version, samples, and the bot."""

    def __init__(self, folder):
        self.folder, self.trained, self.heard, self.started = folder, [], [], 0
        self.breaks, self.promotes = None, True

    def dependencies(self, asker):
        return StartDependencies(
            asker, self.retrain, self.listen, self.write_env, self.run_bot,
            Progress(asker.console), lambda: [self.folder.parent / "Downloads"],
        )  # fmt: skip

    def retrain(self, request, ask):
        self.trained.append(request)
        if self.breaks:
            raise self.breaks
        registry = Registry(request.root)
        roster = read_roster(request.root / "roster.toml")
        chats = (LearnedChat(int(request.chat), "Friends"),)
        made = make(self.folder / f"made{len(self.trained)}", roster=roster, chats=chats)
        name = registry.add(made)
        if self.promotes:
            registry.promote(name)
        return RetrainResult("made", name, promoted=self.promotes)

    def listen(self, *given):
        self.heard.append(given)

    def write_env(self):
        (self.folder / ".env").write_text("BOT_TOKEN=\nADMINS=\nPACE=1\n", "utf-8")

    def run_bot(self):
        self.started += 1


@pytest.fixture
def world(folder):
    return World(folder)


@pytest.fixture
def run(world, script, folder):
    """Start with these answers; return what was typed and printed."""

    def run(*answers, **options):
        takes_defaults = options.pop("takes_defaults", False)
        typed = script(*answers, takes_defaults=takes_defaults)
        if takes_defaults:
            object.__setattr__(typed.asker, "read", None)
            object.__setattr__(typed.asker, "read_secret", None)
        root = options.pop("root", DEFAULT_MODELS)
        try:
            start(StartRequest(root, **options), world.dependencies(typed.asker))
        except EOFError:
            assert not typed.left
        return typed

    return run


def test_all_answers_lead_to_a_running_bot(run, world, folder, telegram):
    telegram.senders = [{"id": 7, "first_name": "Ana"}]

    typed = run(*ANSWERS)

    [request] = world.trained
    assert (request.base, request.hyperparameters) == ("smollm2", {"minutes": 30.0})
    assert request.chat == str(-(10**12) - 77)
    assert not typed.left
    assert world.started == 1
    assert [seed for _, seed in world.heard] == [0, 1]
    people = read_roster(folder / "artifacts" / "roster.toml").people
    assert sorted(person.imitate for person in people) == ["ask", "yes"]
    settings = (folder / ".env").read_text("utf-8").splitlines()
    assert settings == [f"BOT_TOKEN={TOKEN}", "ADMINS=7", "PACE=1"]


def test_back_returns_through_all_questions_to_the_first_one(run, world, folder, telegram):
    typed = run(*ANSWERS[:7], *["back"] * 6)

    assert not typed.left
    asked = [question.split(" [")[0].split(",")[0] for question in typed.questions[7:]]
    assert asked == [
        "Minutes of training",
        "Which base",
        "Keep these answers?",  # from the roster that was written
        "Which chat",
        *["Which export"] * 3,
    ]
    assert "There is no question before this one." in typed.said
    assert load_answers(folder / "artifacts").base is None
    assert not world.trained


def test_with_people_given_as_options_back_leads_from_the_base_to_the_chat(run, telegram):
    typed = run("", "1", "back", "2", consent=NamedConsent(agreed=("Friend 1",)))

    asked = [question.split(" [")[0].split(",")[0] for question in typed.questions]
    assert asked == ["Which export", "Which chat", "Which base", "Which chat", "Which base"]


def test_there_is_no_way_back_to_options(run, folder, telegram):
    export = folder.parent / "Downloads" / "ChatExport_2024-03-31"

    typed = run("back", "y", export=export, chat="Friends")

    assert typed.said.count("There is no question before this one.") == 1
    assert typed.said.count("Reading ") == 1


def test_after_training_there_is_no_way_back(run, world, telegram):
    typed = run(*ANSWERS[:9], "back", "n", "")

    assert "You cannot go back after training." in typed.said
    assert len(world.trained) == 1


def test_without_a_token_yet_it_stops_before_the_bot(run, world, folder, telegram):
    typed = run(*ANSWERS[:-5], "")

    assert not typed.left
    assert "To set up the bot later, run:" in typed.said
    assert not world.started
    assert not (folder / ".env").exists()


def test_it_names_every_command_that_it_runs(run, telegram):
    telegram.senders = [{"id": 7, "first_name": "Ana"}]

    said = run(*ANSWERS).said

    commands = [line.split("$ ")[1] for line in said.splitlines() if line.startswith("  $ ")]
    assert [command.split()[:2] for command in commands] == [
        ["understudy", "inspect"],
        ["understudy", "inspect"],
        ["understudy", "doctor"],
        ["understudy", "retrain"],
        ["understudy", "chat"],
        ["understudy-bot", "setup"],
        ["understudy-bot", "run"],
    ]
    assert "--base smollm2 --minutes 30" in commands[3]


@pytest.mark.parametrize("known", range(1, len(ANSWERS)))
def test_stopped_at_any_question_it_continues_there(known, run, world, folder, telegram):
    telegram.senders = [{"id": 7, "first_name": "Ana"}]
    run(*ANSWERS[:known])
    done = load_answers(folder / "artifacts")

    unasked = {
        "export": done.export is not None,
        "chat": done.chat_id is not None,
        "people": done.has_people,
        "base": done.base is not None,
        "minutes": done.minutes is not None,
        "listened": done.has_seen_samples,
        "bot": done.bot is not None,
    }
    steps = {"export": 1, "chat": 1, "people": 4, "base": 1, "minutes": 1, "listened": 2, "bot": 2}
    left, answers = list(ANSWERS), []
    for step, count in steps.items():
        first = 2 + done.consented if step == "people" and done.consented is not None else 0
        answers += [] if unasked[step] else left[first:count]
        left = left[count:]
    if (folder / ".env").is_file() and "ADMINS=7" in (folder / ".env").read_text("utf-8"):
        left = left[2:]
    typed = run(*answers, *left)

    assert not typed.left
    assert world.started == 1
    assert len(world.trained) == 1
    assert "Continuing where you stopped" in typed.said


def test_after_ctrl_c_among_the_questions_about_consent_only_the_others_are_asked(
    run, folder, telegram
):
    before = run(*ANSWERS[:5])
    kept = read_roster(folder / "artifacts" / "roster.toml")
    after = run("n")

    assert [person.imitate for person in kept.people] == ["yes", "ask"]
    assert before.questions[-1].startswith("Friend 2")
    assert "Continuing with the answers in" in after.said
    assert after.questions[0].startswith("Friend 2")
    assert after.questions[1].startswith("Which base")
    people = read_roster(folder / "artifacts" / "roster.toml").people
    assert [person.imitate for person in people] == ["yes", "no"]
    assert load_answers(folder / "artifacts").consented is None


def test_each_account_in_a_question_is_shown_with_its_last_messages(run, telegram):
    said = run(*ANSWERS[:3]).said

    shown = said[said.index("Friend 1 (id 1)") : said.index("Two people have the first name")]
    entries = conversation(40)
    for number in (1, 2):
        texts = [one["text"] for one in entries if one["from_id"] == f"user{number}"]
        head = [f"Friend {number} (id {number})", *texts[-2:]]
        assert " ".join(head) in " ".join(shown.split())


def test_a_training_that_stops_is_started_again_without_a_question_before_it(run, world, telegram):
    world.breaks = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(*ANSWERS[:8])
    world.breaks = None

    typed = run("", TOKEN, "skip", "n")

    assert not typed.left
    assert [request.base for request in world.trained] == ["smollm2"] * 2
    assert world.started == 0


def test_a_stopped_training_continues_with_other_minutes(run, world, telegram):
    world.breaks = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(*ANSWERS[:8])
    world.breaks = None

    typed = run("", "", minutes=45.0)

    assert "30 of training; --minutes changes it" in " ".join(typed.said.split())
    assert [request.hyperparameters["minutes"] for request in world.trained] == [30, 45]


def test_the_answers_are_private_and_hold_no_token(run, folder, telegram):
    telegram.senders = [{"id": 7, "first_name": "Ana"}]

    said = run(*ANSWERS).said

    file = folder / "artifacts" / "start.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600
    for path in (path for path in folder.rglob("*") if path.is_file() and path.name != ".env"):
        assert TOKEN.encode() not in path.read_bytes()
    assert TOKEN not in said.replace(f"Token (Enter: later): {TOKEN}", "")


def test_another_export_or_a_restart_forgets_the_answers(run, folder, tmp_path, telegram):
    run(*ANSWERS[:8])
    first = load_answers(folder / "artifacts")
    other = write(tmp_path / "other", chat(*conversation(40), name="Others", id=9))

    run("", export=other.parent)
    second = load_answers(folder / "artifacts")
    run(restart=True)

    assert first.version is not None
    assert (second.chat, second.version, second.base) == ("Others", None, None)


def test_a_mistyped_export_keeps_the_answers(run, folder, tmp_path, telegram):
    run(*ANSWERS[:8])
    before = load_answers(folder / "artifacts")

    with pytest.raises(UnderstudyError, match="there is no file"):
        run(export=tmp_path / "nowhere")

    assert load_answers(folder / "artifacts") == before


def test_a_version_that_learned_from_an_excluded_person_is_refused(run, folder, telegram):
    run(*ANSWERS[:8])

    with pytest.raises(
        UnderstudyError, match="was trained on messages of Friend 1.*--force-training"
    ):
        run("", consent=NamedConsent(excluded=("Friend 1",)))


def test_a_chat_given_by_its_id_is_not_asked_for_again(run, folder, telegram):
    run(*ANSWERS[:8])
    known = load_answers(folder / "artifacts")

    typed = run("", "", TOKEN, "skip", "n", chat=str(known.chat_id))

    assert load_answers(folder / "artifacts").version == known.version
    assert "Reading " not in typed.said


@pytest.mark.parametrize(
    "text", ["{", "[]", "[" * 100_000, '{"export": 5}', '{"minutes": "x"}', '{"version": []}']
)
def test_a_damaged_file_of_answers_says_what_to_do(run, folder, text):
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "start.json").write_text(text)

    with pytest.raises(UnderstudyError, match="start again with --restart"):
        run()


def test_answers_of_another_version_are_read(tmp_path):
    (tmp_path / "start.json").write_text('{"minutes": 5, "base": "smollm2", "of_the_future": 1}')

    assert load_answers(tmp_path) == Answers(minutes=5, base="smollm2")


def test_a_path_may_have_any_bytes(run, folder, tmp_path, telegram):
    strange = tmp_path / "odd\udcff \x1b]0;title\x07"
    export = write(strange, chat(*conversation(40)))

    said = run(export=strange).said

    assert load_answers(folder / "artifacts").export == str(export)
    assert "\x1b" not in said
    assert "\udcff" not in said


@pytest.mark.parametrize("text", ["{", '{"name": "x", "type": "private_group", "id": 1}'])
def test_an_export_that_cannot_be_used_is_not_taken_again(run, folder, tmp_path, text):
    bad = tmp_path / "Downloads" / "ChatExport_2025-01-01" / "result.json"
    bad.parent.mkdir()
    bad.write_text(text)

    with pytest.raises(UnderstudyError):
        run("")
    again = run("2")

    assert again.questions[0].startswith("Which export")


def test_two_at_once_do_not_mix_their_answers(run, folder):
    with (
        locked(folder / "artifacts" / "start.lock", wait=False),
        pytest.raises(UnderstudyError, match="another `understudy start`"),
    ):
        run()


def test_a_version_that_is_not_good_enough_is_used_only_on_request(run, world, telegram):
    world.promotes = False

    with pytest.raises(UnderstudyError, match="is kept, but not used"):
        run(*ANSWERS[:8], "n")
    run("y", "", TOKEN, "skip", "n")

    assert world.trained[1].base == "smollm2"
    assert world.started == 0


def test_a_model_of_this_chat_is_used_with_the_new_answers(run, world, folder, telegram):
    run(*ANSWERS[:8])
    (folder / "artifacts" / "start.json").unlink()

    typed = run("", "1", "n", "", "", "", "y", "smollm2", "30", "", TOKEN, "skip", "y")

    assert not typed.left
    assert len(world.trained) == 1
    assert "understudy retrain" in typed.said
    assert world.started == 1
    people = Registry(folder / "artifacts").open().card.roster.people
    assert [person.imitate for person in people] == ["yes", "yes"]


def test_a_model_of_another_chat_is_not_used(run, world, folder):
    registry = Registry(folder / "artifacts")
    registry.promote(registry.add(make(folder / "made", chats=(LearnedChat(-5, "Others"),))))

    with pytest.raises(UnderstudyError, match="trained on Others: use another folder"):
        run(*ANSWERS[:8])


def test_after_training_the_export_is_not_needed(run, world, folder, telegram):
    run(*ANSWERS[:9])
    shutil.rmtree(folder.parent / "Downloads")

    typed = run("", TOKEN, "skip", "y")

    assert not typed.left
    assert world.started == 1


def test_privacy_mode_is_explained_until_it_is_off(run, world, telegram):
    telegram.reads_all = False

    typed = run(*ANSWERS[:8], "", TOKEN, "y", "n", "skip", "y")

    assert typed.said.count("Write /setprivacy") == 2
    assert world.started == 1


def test_without_a_terminal_a_missing_answer_names_its_option(run):
    with pytest.raises(UnderstudyError, match="pass --token TOKEN"):
        run(takes_defaults=True, base="smollm2", minutes=5)


def test_with_all_options_nothing_is_asked(run, world, folder, telegram):
    typed = run(
        takes_defaults=True, base="smollm2", minutes=5.0, token=TOKEN, admin=7, chat="Friends"
    )

    assert typed.questions == []
    assert world.started == 1
    assert load_answers(folder / "artifacts").bot == "understudy_bot"


def test_no_network_for_the_token_is_one_line(run, telegram, monkeypatch):
    monkeypatch.setenv("TELEGRAM_API_URL", "http://127.0.0.1:9")

    with pytest.raises(UnderstudyError, match="cannot be reached"):
        run(takes_defaults=True, base="smollm2", minutes=5.0, token=TOKEN)


def test_after_a_wrong_answer_the_exports_in_the_list_can_still_be_chosen(run, folder, tmp_path):
    page = tmp_path / "page" / "messages.html"
    page.parent.mkdir()
    page.touch()

    typed = run("7", str(page.parent), __file__, "1")

    assert "There is no number 7 in the list." in typed.said
    assert typed.said.count("There is no result.json at") == 1
    assert f"{page.parent} is an HTML export" in " ".join(typed.said.split())
    assert load_answers(folder / "artifacts").export.endswith("result.json")


def test_no_export_is_explained(run, folder):
    (folder.parent / "Downloads").rename(folder.parent / "elsewhere")

    typed = run(str(folder.parent / "nothing"))

    assert "Machine-readable JSON" in typed.said
    assert "There is no result.json at" in typed.said
    assert load_answers(folder / "artifacts") == Answers()


def test_the_folder_that_contains_the_export_is_enough(run, folder):
    (folder.parent / "Downloads").rename(folder.parent / "elsewhere")

    run(str(folder.parent / "elsewhere"))

    assert load_answers(folder / "artifacts").export.endswith("2024-03-31/result.json")


def test_without_a_token_it_names_what_works_without_telegram(run, telegram):
    said = run(*ANSWERS[:-5], "").said

    assert "$ understudy-bot playground" in said
    assert "$ understudy report" in said


def test_a_base_that_cannot_be_loaded_is_asked_for_again(run, world, folder, telegram):
    world.breaks = BaseError("there is no smollm")
    with pytest.raises(BaseError):
        run(*ANSWERS[:8])

    answers = load_answers(folder / "artifacts")

    assert (answers.base, answers.minutes) == (None, 30.0)


def test_the_real_command_trains_a_real_model_and_continues(tmp_path, monkeypatch, telegram):
    from pipeline.cli import start as command
    from tests.checkpoints import save_llama

    base = save_llama(tmp_path / "base", texts=[" ".join(HABITS.values())])
    export = write_export(tmp_path / "export", 24)
    started = []
    monkeypatch.setattr(command, "run_bot", lambda: started.append(True))
    words = (
        "start", "--export", export, "--base", base, "--minutes", 0.02, "--epochs", 0.5,
        "--set", "max-reply-tokens=32", "--min-messages", 20, "--agreed", "Hugo", "--yes",
    )  # fmt: skip

    first = understudy(*words, "--skip-bot", cwd=tmp_path)
    second = understudy("start", "--yes", "--token", TOKEN, "--admin", 7, cwd=tmp_path)

    assert first.returncode == 0, first.stdout + first.stderr
    assert second.returncode == 0, second.stdout + second.stderr
    assert first.stdout.count("really said: ") == 3
    assert started == [True]
    assert "5 of 7" not in second.stdout
    registry = Registry(tmp_path / "artifacts")
    answers = json.loads((tmp_path / "artifacts" / "start.json").read_text("utf-8"))
    assert answers["version"] == registry.current
    assert max(len(line) for line in second.stdout.splitlines() if "$" not in line) <= 80


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch):

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "start", interrupted)

    result = understudy("start", cwd=tmp_path)
    elsewhere = understudy("start", "--models-dir", "my models", cwd=tmp_path)

    assert result.returncode == 130
    assert "understudy: stopped; `understudy start` continues here" in result.stderr
    assert "`understudy start --models-dir 'my models'` continues here" in elsewhere.stderr


def test_without_a_terminal_and_options_it_says_what_to_give(tmp_path):
    result = understudy("start", cwd=tmp_path, env={"HOME": str(tmp_path)})

    assert result.returncode == 1
    assert "understudy: there is no terminal to ask in: pass --export PATH" in result.stderr
