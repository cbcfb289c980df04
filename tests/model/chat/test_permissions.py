"""Random histories of a person's decisions, against what the person really said last."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest

from model.chat.permissions import Facts, permissions
from model.chat.person import Decision, Person

START = datetime(2024, 1, 1, tzinfo=UTC)
LINKED = 9
"""An account that only another model's roster knows to be the same person's."""


@dataclass
class History:
    """A roster's entry, the decisions that sources show, and each account's last one in truth."""

    person: Person
    sources: list[list[Decision]]
    last: dict[int, Decision]
    is_linked: bool

    @property
    def expected(self):
        """What may be done with the messages: learning, imitating, and whether an /optin counts."""
        own = self.person.ids
        counting = (*own, LINKED) if self.is_linked else own
        is_out = any(n in self.last and self.last[n].kind == "optout" for n in counting)
        was_out = any(one.kind == "optout" and one.user_id in own for one in chain(*self.sources))
        learn = "no" if is_out else self.person.learn
        imitate = "ask" if was_out and self.person.imitate == "yes" else self.person.imitate
        imitate = "no" if is_out else imitate
        is_in = any(n in self.last and self.last[n].kind == "optin" for n in own)
        return learn, imitate, is_in and learn == "yes" and imitate != "no"


def draw_log(rng, accounts, *, is_clock_right):
    """Return what one bot was told, in the order of arrival; no two decisions at one time."""
    hours = sorted(rng.sample(range(200), rng.randint(0, 6)))
    if not is_clock_right:
        rng.shuffle(hours)
    return [
        Decision(rng.choice(accounts), rng.choice(["optin", "optout"]), START + timedelta(hours=h))
        for h in hours
    ]


def cut(rng, log):
    return log[: rng.randint(0, len(log))]


def draw_people(rng):
    ids = (7, 8)[: rng.choice([1, 1, 2])]
    learn = rng.choice(["yes", "yes", "yes", "no"])
    return Person("Ana", ids, imitate=rng.choice(["yes", "ask", "no"]), learn=learn)


def with_wrong_clocks(rng):
    """Return a history that one bot's dumps tell: the longest one is right."""
    person = draw_people(rng)
    log = draw_log(rng, (*person.ids, LINKED), is_clock_right=False)
    sources = [cut(rng, log) for _ in range(rng.randint(1, 4))]
    longest = max(sources, key=len)
    last = {one.user_id: one for one in longest}
    return History(person, sources, last, rng.random() < 0.3)


def with_several_bots(rng):
    """Return a history told by dumps of two bots and imported versions: the latest is right."""
    person = draw_people(rng)
    logs = [draw_log(rng, (*person.ids, LINKED), is_clock_right=True) for _ in range(2)]
    sources = [cut(rng, rng.choice(logs)) for _ in range(rng.randint(1, 4))]
    for _ in range(rng.randint(0, 2)):  # a version has the decisions that silenced its people
        at_export = {one.user_id: one for one in cut(rng, rng.choice(logs))}
        sources.append([one for one in at_export.values() if one.kind == "optout"])
    by_time = sorted(chain(*sources), key=lambda one: (one.at, one.kind == "optout"))
    return History(person, sources, {one.user_id: one for one in by_time}, rng.random() < 0.3)


@pytest.mark.parametrize("draw", [with_wrong_clocks, with_several_bots])
def test_in_5000_random_histories_a_persons_last_word_counts(draw):
    found = set()
    for seed in range(5000):
        rng = random.Random(seed)
        history = draw(rng)
        rng.shuffle(history.sources)
        facts = Facts({str(n): one for n, one in enumerate(history.sources)})
        linked = {7: frozenset({7, LINKED})} if history.is_linked else {}

        ((_, own),) = permissions([history.person], replace(facts, linked=linked))

        assert (own.learn, own.imitate, own.has_agreed) == history.expected, (seed, history)
        found.add(history.expected)
    assert len(found) >= 7  # every outcome occurs


def test_another_optout_never_permits_more():
    order = {"no": 0, "ask": 1, "yes": 2}
    for seed in range(2000):
        rng = random.Random(seed)
        history = with_several_bots(rng)
        facts = Facts({str(n): one for n, one in enumerate(history.sources)})
        hours = timedelta(hours=rng.randint(0, 250))
        more = facts.with_source("more", [Decision(7, "optout", START + hours)])

        ((_, before),) = permissions([history.person], facts)
        ((_, after),) = permissions([history.person], more)

        assert order[after.learn] <= order[before.learn], seed
        assert order[after.imitate] <= order[before.imitate], seed
