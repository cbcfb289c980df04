"""The proof: a chat cut in three, retrained piece by piece, is the whole chat again."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from model.copying import words_of
from model.registry import Registry
from pipeline.export.archive import opened
from pipeline.pairing import Choices, Pairing
from pipeline.retrain.dump import notes_of
from pipeline.retrain.known import still_known
from pipeline.retrain.merge import merged
from pipeline.retrain.receipt import read
from pipeline.roster_file import read_roster
from pipeline.sample import write_sample
from tests.checkpoints import save_llama
from tests.pipeline.chats import chat, conversation, write
from tests.pipeline.retrain.dumps import decision, dump
from tests.pipeline.retrain.workshop import Workshop, everything


def pairs_of(spool, one, roster, **choices):
    """Return what of a chat would be paired: ids, contexts and targets."""
    pairing = Pairing(spool, one, roster, Choices(**choices))
    return [
        (pair.message_ids, pair.context_ids, pair.context, pair.target)
        for session in pairing.sessions()
        for pair in session.pairs
    ]


def kept_and_whole(root, whole_export, **choices):
    """Return the pairs of what a folder of models keeps of a chat, and of its whole export."""
    roster = read_roster(root / "roster.toml")
    with opened([whole_export]) as archive:
        one = archive.only(None)
        expected = pairs_of(archive.spool, one, roster, **choices)
        nothing = write(root.parent / "empty", dump(**about(one)))
    with merged(root, [], [notes_of(nothing)], None) as whole:
        return pairs_of(whole.spool, whole.chat, roster, **choices), expected


def about(one):
    return {"name": one.name, "type": one.kind, "id": one.number}


def test_a_small_chat_cut_in_three_is_whole_again_after_two_retrainings(tmp_path):
    shop, said = Workshop(tmp_path), conversation(60)
    messages = [*said[:6], *said[7:]]  # one was deleted after the first export

    shop.first(20)
    shop.run(chat(*messages[:480]), no_live_bot=True)
    shop.run(dump(*messages[400:]))

    kept, whole = kept_and_whole(shop.root, write(tmp_path / "whole", chat(*messages)))
    assert kept == whole != []
    assert [name[:4] for name in shop.registry.names] == ["0001", "0002", "0003"]
    assert shop.receipt(3)["messages"] == len(messages)


@pytest.mark.soak
def test_the_demo_s_chat_cut_in_three_is_retrained_withdrawn_from_killed_and_purged(tmp_path):
    export = json.loads(write_sample(tmp_path / "sample").read_text("utf-8"))
    roster = (tmp_path / "sample" / "roster.toml").read_text("utf-8")
    messages, about_it = export.pop("messages"), export
    third = len(messages) // 3
    pieces = messages[:third], messages[: 2 * third], messages[third // 2 :]
    spoken = [one for one in messages if one["type"] == "message"]
    texts = [one["text"] for one in spoken if isinstance(one["text"], str)]
    base = save_llama(tmp_path / "base", texts=texts[:3_000])
    root = tmp_path / "models"
    files = [write(tmp_path / str(n), {**about_it, "messages": p}) for n, p in enumerate(pieces)]
    (tmp_path / "0" / "roster.toml").write_text(roster, "utf-8")
    options = ("--epochs", "0.3", "--max-reply-tokens", "32", "--max-prompt-tokens", "128")

    retrained(root, files[0], "--base", base, *options)
    retrained(root, files[1], "--no-live-bot", "--force", "the proof goes on")
    killed_at_any_time(root, files[2], "--no-live-bot", "--force", "the proof goes on")
    kept, whole = kept_and_whole(
        root, write(tmp_path / "whole", {**about_it, "messages": messages})
    )
    raul = next(one for one in spoken if one["from"] == "Raul")["from_id"]
    said = {one["text"] for one in spoken if one["from_id"] == raul and type(one["text"]) is str}
    others = {str(one["text"]) for one in spoken if one["from_id"] != raul}
    plain = (text for text in said if text.isascii() and not set('"\\\n') & set(text))
    his = [text for text in plain if len(words_of(text)) > 8 and text not in others]
    there = everything(root)
    before = sum(text.encode() in there for text in his)
    withdrawal = dump(decisions=[decision(int(raul[4:]), "optout")], **about_it)
    retrained(root, write(tmp_path / "withdrawn", withdrawal), "--anyway", "--force", "he withdrew")

    registry = Registry(root)
    left = everything(root)
    assert kept == whole
    assert len(kept) > 14_000
    assert before == len(his) > 100
    assert not [text for text in his if text.encode() in left]
    assert [one["name"] for one in read(root, registry.current)["excluded"]] == ["Raul"]
    assert set(still_known(registry)) == set(registry.names) - {registry.current}
    run("models", "purge", "--person", "Raul", "--models", root)
    assert Registry(root).names == [registry.current]


def run(*words, check=True):
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *map(str, words)],
        capture_output=True, text=True, check=check,
    )  # fmt: skip


def retrained(root, *words):
    done = run("retrain", *words, "--models", root, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def killed_at_any_time(root, *words):
    """Kill the command ever later, until it ends by itself; what serves then stays the same."""
    command = [sys.executable, "-m", "pipeline.cli", "retrain", *map(str, words)]
    for seconds in (6, 12, 24, 48, 96):
        serving = Registry(root).current
        with subprocess.Popen(
            [*command, "--models", str(root)], stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            time.sleep(seconds)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            elif process.returncode == 0:
                return
        assert Registry(root).current == serving
        Registry(root).whole("current")
    retrained(root, *words)
