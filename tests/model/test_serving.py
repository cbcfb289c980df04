"""Generation on a Ray cluster of two workers gives what generation in the process gives."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import psutil
import pytest

from model.artifacts.artifact import Decoding
from model.artifacts.tokenizer import load_codec
from model.errors import ArtifactError, GenerationStopped, ServerBusyError
from model.speaking.cluster import ClusterEngine
from model.speaking.engine import Request, open_engine
from model.speaking.server import GenerationServer
from model.speaking.speaker import open_speaker

CONTEXTS = (
    ("Hugo: what about friday? bark bark", "Tiago: shall we go? meow meow"),
    ("Raul: hello there tweet tweet",),
    (),
)
NAMES = ("Hugo", "Tiago", "Raul")
FAIR = Decoding(max_new_tokens=24)
GREEDY = replace(FAIR, top_k=1, candidates=1)
LONG = replace(FAIR, candidates=64, max_new_tokens=200, temperature=5, top_k=0, top_p=1)
"""Takes seconds: so many candidates, most of which do not end."""


class Cluster:
    """A cluster that serves the versions of a registry."""

    def __init__(self, url, registry, program):
        self.url, self.registry, self._program = url, registry, program

    def workers(self):
        """Return the processes of the workers."""
        found = psutil.Process(self._program.pid).children(recursive=True)
        return [one for one in found if _is_worker(one)]

    def engine(self, version="current"):
        return ClusterEngine(GenerationServer(self.url, self.registry.find(version)))


def _is_worker(process):
    try:
        return "ServeReplica" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


@contextmanager
def serving(registry, **options):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = json.dumps({"models": str(registry.root), "cpus": 0.5, **options})
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.voice_cluster", str(port), words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with program:
        try:
            assert any(line.strip() == "ready" for line in program.stdout)
            yield Cluster(f"http://127.0.0.1:{port}/v1", registry, program)
        finally:
            program.stdin.close()
            program.wait(60)


@pytest.fixture(scope="module")
def cluster(trained):
    """Two workers, each with one version in memory, that take four requests and refuse more."""
    artifact = trained.open()
    for number in (2, 3):
        name = f"{number:04d}-{artifact.path.name.split('-')[1]}"
        (trained.root / "versions" / name).symlink_to(artifact.path)
    options = {"min_workers": 2, "max_workers": 2, "versions": 1, "batch": 1, "queue": 2}
    with serving(trained, **options) as found:
        yield found


@pytest.fixture(scope="module")
def local(trained):
    artifact = trained.open()
    codec = load_codec(artifact.tokenizer)
    return open_engine(artifact.engine, artifact.card.family, codec, device="cpu")


@pytest.fixture(scope="module")
def codec(trained):
    return load_codec(trained.open().tokenizer)


def request_of(codec, context, name):
    label = codec.label_ids(name)
    return Request(codec.prompt_ids(context, 384), label, label)


def test_greedy_replies_and_scores_are_equal(codec, local, cluster):
    remote = cluster.engine()
    requests = [request_of(codec, context, name) for context in CONTEXTS for name in NAMES]
    prompts, forced = [one.prompt for one in requests], [one.forced for one in requests]

    here, there = (engine.candidates(requests, GREEDY) for engine in (local, remote))

    assert [[one.ids for one in own] for own in there] == [[one.ids for one in own] for own in here]
    assert [own[0].is_complete for own in there] == [own[0].is_complete for own in here]
    replies = [own[0].ids for own in here]
    theirs = remote.scores(prompts, forced, replies)
    for row, ours in zip(theirs, local.scores(prompts, forced, replies), strict=True):
        assert row == pytest.approx(ours, abs=1e-4)
    labels = [codec.label_ids(name) for name in NAMES]
    assert remote.label_scores(prompts[0], labels) == pytest.approx(
        local.label_scores(prompts[0], labels), abs=1e-4
    )


def test_sampled_replies_have_the_same_distribution(codec, local, cluster):
    asked = request_of(codec, (), "Hugo")
    decoding = replace(FAIR, candidates=100, temperature=1.2, top_k=5)

    def draw(engine):
        drawn = [one for _ in range(5) for one in engine.candidates([asked], decoding)[0]]
        return Counter(tuple(one.ids[:2]) for one in drawn)

    here, there, again = draw(local), draw(cluster.engine()), draw(local)

    def distance(one, other):
        return sum(abs(one[key] - other[key]) for key in one.keys() | other.keys()) / 1000

    assert here.total() == there.total() == 500
    assert len(here) > 3
    assert distance(here, there) < distance(here, again) + 0.08


def test_a_speaker_replies_in_a_voice(cluster, trained):
    speaker = open_speaker(trained.open(), server=cluster.url)

    said = speaker.reply(CONTEXTS[0], "Hugo")
    voice, _ = speaker.turn(CONTEXTS[0], NAMES)

    assert all(said)
    assert voice in NAMES


def test_a_request_is_repeated_when_its_worker_is_killed(codec, cluster):
    remote = cluster.engine()
    asked = request_of(codec, CONTEXTS[0], "Hugo")

    def kill_the_busy_one():
        time.sleep(0.3)
        busiest = max(cluster.workers(), key=lambda one: one.cpu_percent(0.3))
        killed.append(busiest.pid)
        os.kill(busiest.pid, signal.SIGKILL)

    killed = []
    killer = threading.Thread(target=kill_the_busy_one)
    killer.start()
    [drawn] = remote.candidates([asked], LONG)
    killer.join()

    assert len(drawn) == LONG.candidates
    until = time.monotonic() + 60
    while len({one.pid for one in cluster.workers()} - set(killed)) < 2:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_versions_are_loaded_on_demand_and_the_oldest_is_unloaded(codec, cluster):
    asked = request_of(codec, CONTEXTS[0], "Hugo")
    engines = [cluster.engine(str(number)) for number in (1, 2, 3)]

    drawn = [[engine.candidates([asked], GREEDY) for engine in engines] for _ in range(2)]

    assert all(own == drawn[0][0] for row in drawn for own in row)
    headers = {"serve_multiplexed_model_id": cluster.registry.find("3")}
    answers = [httpx.get(f"{cluster.url}/models", headers=headers) for _ in range(8)]
    loaded = [sum(one["loaded"] for one in answer.json()["data"]) for answer in answers]
    assert max(loaded) == 1


def test_too_many_requests_are_refused_at_once(codec, cluster):
    asked = request_of(codec, CONTEXTS[0], "Hugo")

    def ask(engine):
        try:
            return len(engine.candidates([asked], LONG)[0])
        except ServerBusyError:
            return "busy"

    engines = [cluster.engine() for _ in range(16)]
    with ThreadPoolExecutor(len(engines)) as threads:
        answers = Counter(threads.map(ask, engines))

    assert answers["busy"] > 0
    assert answers[LONG.candidates] >= 2
    assert set(answers) == {"busy", LONG.candidates}


def test_what_the_server_does_not_have_is_refused(cluster):
    with pytest.raises(ArtifactError, match="copy the version's folder there"):
        GenerationServer(cluster.url, "0009-00000000")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("candidates", {"requests": [{"prompt": 1}]}, 400),
        ("candidates", [], 400),
        ("nothing", {}, 400),
        ("scores", {"prompts": [[1]], "forced": [[1]], "replies": "no"}, 400),
    ],
)
def test_a_request_that_makes_no_sense_harms_nothing(codec, cluster, path, body, status):
    headers = {"serve_multiplexed_model_id": cluster.registry.find("current")}

    answer = httpx.post(f"{cluster.url}/{path}", json=body, headers=headers, timeout=20)

    assert answer.status_code == status
    assert cluster.engine().candidates([request_of(codec, (), "Hugo")], GREEDY)


def test_a_version_that_the_registry_lacks_is_not_opened(cluster):
    headers = {"serve_multiplexed_model_id": "../../etc"}

    answer = httpx.post(f"{cluster.url}/labels", json={}, headers=headers, timeout=20)

    assert answer.status_code == 404


def test_a_request_is_given_up_after_its_seconds(codec, cluster, monkeypatch):
    monkeypatch.setattr("model.speaking.cluster.SECONDS", 0.05)

    with pytest.raises(GenerationStopped):
        cluster.engine().candidates([request_of(codec, (), "Hugo")], LONG)
