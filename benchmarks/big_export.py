"""Writes a large export, as Telegram Desktop lays it out, of a group that talks as real ones do.

Run it with `python -m benchmarks.big_export FOLDER --messages 1000000`.
"""

import argparse
import itertools
import json
import random
from bisect import bisect
from datetime import UTC, datetime
from pathlib import Path

PEOPLE = 12
BOTS = ("Pollbot", "Quizmaster")
SEED = 20_240_301
START = int(datetime(2006, 1, 5, 18, tzinfo=UTC).timestamp())
NOT_INCLUDED = "(File not included. Change data exporting settings to download.)"

_GREETINGS = ("hi", "ok", "lol", "good morning", "thanks", "yes", "no", "haha", "👍", "bom dia")
_EMOJI = "😂❤🤣👍😭🙏😘🥰😍😊🎉😁💕🥺😅🔥☺🤦🤷🙄😆🤗😉🎂🤔👏🙂😳🥳😎👌💜😔💪✨🧑‍🍳🇵🇹"
_SYLLABLES = {
    "English": ("th an er in re st on at en ou ing ed to it is ha le or ve wh sh ck ll oo", 55),
    "Portuguese": ("que ão de os as er ir ça nh lh do da em um com pra tá né vo cê", 18),
    "German": ("sch ei ch en er un ge be ver st ie ü ö ä ß icht au tz ng", 9),
    "Russian": ("на по не что ст ра ко то го ен ть ал ой ый ся при вы", 8),
    "Turkish": ("lar ler bir ve için da de ım ğı şe ca yor mak ne ben", 4),
    "Chinese": ("你 我 的 是 不 了 在 好 人 有 这 那 来 去 吗 呢", 3),
    "Arabic": ("ال ما في من لا يا كا نا هم تم بس وا", 3),
}
_WORDS_OF_A_LANGUAGE = 4000
_SERVICE, _FORWARDS, _PEOPLE_S = 0.01, 0.03, 0.985
_ACTIONS = ("pin_message", "invite_members", "remove_members", "edit_group_title", "group_call")
_REACTIONS = ("👍", "❤", "🔥", "😁", "😢")


class GeneratedChat:
    """Everything that is drawn; one seed draws one chat."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.words, self.weights = self._vocabulary()
        self.people = [f"Person {chr(65 + n)}" for n in range(PEOPLE)]
        self.shares = list(itertools.accumulate(1 / (n + 1) ** 0.9 for n in range(PEOPLE)))
        self.languages = [
            self.random.choices(list(self.words), [w for _, w in _SYLLABLES.values()], k=2)
            for _ in self.people
        ]
        self.at = START
        self.left = 0
        self.who = 0
        self.pool = []

    def _vocabulary(self):
        words = {}
        for language, (syllables, _) in _SYLLABLES.items():
            parts = syllables.split()
            found = {}
            while len(found) < _WORDS_OF_A_LANGUAGE:
                length = self.random.choices((1, 2, 3, 4), (15, 45, 30, 10))[0]
                word = "".join(self.random.choices(parts, k=length))
                found[word if len(found) < 250 or length > 1 else word + word[:2]] = None
            words[language] = list(found)
        weights = list(
            itertools.accumulate(1 / (rank + 2.7) for rank in range(_WORDS_OF_A_LANGUAGE))
        )
        return words, weights

    def text(self):
        """Draw words; half of the texts are shorter than some 30 characters, a few are walls."""
        draw = self.random.random()
        if draw < 0.03:
            return self.random.choice(_GREETINGS)
        count = (
            250 if draw > 0.9995 else min(90, max(1, int(self.random.lognormvariate(1.65, 0.75))))
        )
        language = self.languages[self.who][draw > 0.85]
        words = self.random.choices(self.words[language], cum_weights=self.weights, k=count)
        text = ("" if language == "Chinese" else " ").join(words)
        if draw > 0.8:
            text = text.capitalize() + self.random.choice(".!?…")
        if 0.4 < draw < 0.52:
            text += " " + self.random.choice(_EMOJI) * self.random.choice((1, 1, 1, 3))
        if 0.6 < draw < 0.61:
            text += self.random.choice(('\n"quoted" \\o/', "\nand\nmore", "\tx"))
        return text

    def moment(self):
        """Move on: bursts of one person, sessions of some, hours and days of silence."""
        if self.left == 0:
            self.left = 1 + int(self.random.expovariate(1 / 45))
            self.at += int(7_200 + self.random.expovariate(1 / 9_000))
            if self.random.random() < 0.02:
                self.at += 86_400 * self.random.randint(1, 12)
            self.who = self._other()
        else:
            same = self.random.random() < 0.35
            self.at += int(self.random.expovariate(1 / (9 if same else 45)))
            self.who = self.who if same else self._other()
        self.left -= 1

    def _other(self):
        return bisect(self.shares, self.random.random() * self.shares[-1])


def entries(messages, seed=SEED):
    """Yield a chat's entries, one after the other."""
    talk = GeneratedChat(seed)
    draw = talk.random
    for number in range(1, messages + 1):
        talk.moment()
        at = datetime.fromtimestamp(talk.at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        who, name = talk.who, talk.people[talk.who]
        entry = {"id": number, "type": "message", "date": at, "date_unixtime": str(talk.at)}
        kind = draw.random()
        if kind < _SERVICE:
            yield entry | _service(talk, name, who, number)
            continue
        if kind >= _PEOPLE_S:
            bot = draw.randrange(len(BOTS))
            name, who = BOTS[bot], 900 + bot
        if draw.random() < 0.06:
            entry |= {"edited": at, "edited_unixtime": str(talk.at + 60)}
        entry |= {"from": name, "from_id": f"user{1_000_000 + who}"}
        if kind < _FORWARDS:
            entry["forwarded_from"] = "Some channel"
        elif draw.random() < 0.15 and number > 50:
            entry["reply_to_message_id"] = number - draw.randint(1, 40)
        yield entry | _said(talk, kind) | _reacted(talk, at)


def _service(talk, name, who, number):
    action = talk.random.choice(_ACTIONS)
    more = {"message_id": number - 1} if action == "pin_message" else {}
    return {
        "type": "service",
        "actor": name,
        "actor_id": f"user{1_000_000 + who}",
        "action": action,
        **more,
        "text": "",
        "text_entities": [],
    }


def _photo(talk):
    return {
        "photo": NOT_INCLUDED,
        "photo_file_size": talk.random.randint(20_000, 400_000),
        "width": 1280,
        "height": 960,
        **_plain(talk.text() if talk.random.random() < 0.4 else ""),
    }


def _sticker(talk):
    return {
        "file": NOT_INCLUDED,
        "file_size": talk.random.randint(9_000, 60_000),
        "thumbnail": NOT_INCLUDED,
        "media_type": "sticker",
        "sticker_emoji": talk.random.choice(_EMOJI),
        "width": 512,
        "height": 512,
        **_plain(""),
    }


def _voice(talk):
    return {
        "file": NOT_INCLUDED,
        "media_type": "voice_message",
        "mime_type": "audio/ogg",
        "duration_seconds": talk.random.randint(1, 200),
        **_plain(""),
    }


def _poll(talk):
    answers = [{"text": talk.text(), "voters": n, "chosen": n == 0} for n in range(3)]
    poll = {"question": talk.text(), "closed": False, "total_voters": 3, "answers": answers}
    return {"poll": poll, **_plain("")}


def _words(talk):
    return _plain(talk.text())


def _from_a_bot(talk):
    buttons = [[{"type": "callback", "text": "ok", "data": "eA=="}]]
    return _plain(talk.text()) | {"inline_bot_buttons": buttons}


def _plain(text):
    return {"text": text, "text_entities": [{"type": "plain", "text": text}] if text else []}


def _with_entity(talk):
    """Return a text with a link, a mention and so on in its midst; some are private."""
    draw = talk.random
    number = draw.randrange(10**6)
    kind, words = draw.choices(
        (
            ("link", f"https://example.org/{number}"),
            ("mention", f"@person_{draw.randrange(PEOPLE)}"),
            ("bold", talk.text()),
            ("bot_command", f"/{draw.choice(('poll', 'quiz', 'help'))}"),
            ("phone", f"+351 912 {number:06d}"),
            ("email", f"person{number}@example.org"),
            ("italic", talk.text()),
            ("hashtag", f"#trip{number % 50}"),
        ),
        (35, 25, 12, 8, 4, 4, 6, 6),
    )[0]
    before, after = talk.text() + " ", " " + talk.text()
    entity = {"type": kind, "text": words}
    return {
        "text": [before, entity, after],
        "text_entities": [{"type": "plain", "text": before}, entity,
                          {"type": "plain", "text": after}],
    }  # fmt: skip


_KINDS = (
    (_FORWARDS, _words),
    (0.08, _photo),
    (0.12, _sticker),
    (0.135, _voice),
    (0.137, _poll),
    (0.22, _with_entity),
    (_PEOPLE_S, _words),
    (1, _from_a_bot),
)
"""What a message is, by the share of all entries up to which it is."""


def _said(talk, kind):
    return next(made for most, made in _KINDS if kind < most)(talk)


def _reacted(talk, at):
    if talk.random.random() >= 0.06:
        return {}
    who = talk.random.randrange(PEOPLE)
    recent = {"from": talk.people[who], "from_id": f"user{1_000_000 + who}", "date": at}
    emoji = talk.random.choice(_REACTIONS)
    return {"reactions": [{"type": "emoji", "count": 1, "emoji": emoji, "recent": [recent]}]}


def write_big_export(path, messages=1_000_000, seed=SEED):
    """Stream a chat to a file, laid out as Telegram Desktop does it; return the file's path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    heading = '{\n "name": "A big group",\n "type": "private_supergroup",\n "id": 1500000077,\n'
    with path.open("w", encoding="utf-8") as file:
        file.write(heading + ' "messages": [\n')
        for number, entry in enumerate(entries(messages, seed)):
            file.write(",\n" * (number > 0) + _laid_out(entry, "  "))
        file.write("\n ]\n}\n")
    return path


def _laid_out(value, indent):
    """Return JSON indented by one space a level, the way an empty list is `[]` there.

    Python's own indenting encoder is slow: its fast one has none.
    """
    if isinstance(value, dict):
        brackets = "{}"
        parts = [f'"{key}": {_laid_out(part, indent + " ")}' for key, part in value.items()]
    elif isinstance(value, list) and value:
        brackets = "[]"
        parts = [_laid_out(part, indent + " ") for part in value]
    else:
        return _dumps(value)
    lines = f",\n{indent} ".join(parts)
    return f"{indent * (indent == '  ')}{brackets[0]}\n{indent} {lines}\n{indent}{brackets[1]}"


_dumps = json.JSONEncoder(ensure_ascii=False).encode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    write_big_export(given.folder / "result.json", given.messages, given.seed)


if __name__ == "__main__":
    main()
