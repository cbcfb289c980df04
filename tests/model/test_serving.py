"""Generation on a Ray cluster of two workers gives what generation in the process gives."""

import json
import os
import shutil
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

from model.artifacts.registry import Registry
from model.artifacts.tokenizer import load_codec
from model.errors import ArtifactError, ServerBusyError
from model.speaking.client import GenerationClient
from model.speaking.completions import CompletionsEngine
from model.speaking.engine import open_engine
from model.speaking.speaker import open_speaker
from tests.generation import (
    CONTEXTS,
    FAIR,
    GREEDY,
    NAMES,
    assert_same_distribution,
    request_of,
)

pytestmark = pytest.mark.scale

LONG = replace(FAIR, candidates=64, max_new_tokens=200, temperature=5, top_k=0, top_p=1)
"""Takes a third of a second: many candidates, most of which use all their tokens."""
SLOW = 4  # such requests together take more than a second


class Application:
    """An application on a cluster that serves the versions of a registry."""

    def __init__(self, name, port, registry, program):
        self.name, self.url = name, f"http://127.0.0.1:{port}/{name}"
        self.registry, self._program = registry, program

    def workers(self):
        """Return the processes of the workers."""
        found = psutil.Process(self._program.pid).children(recursive=True)
        return [one for one in found if _is_worker(one, self.name)]

    def client(self, version):
        return GenerationClient(self.url, self.registry.find(version))

    def engine(self, version, client=None):
        client = client or self.client(version)
        artifact = self.registry.open(version)
        codec = load_codec(artifact.tokenizer)
        return CompletionsEngine(client, artifact.path.name, codec, artifact.card.family)


def _is_worker(process, name):
    try:
        return f"ServeReplica:{name}:" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


@contextmanager
def serving(registry, **applications):
    """Run a cluster with one application per keyword; yield them in order."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    common = {"models": str(registry.root), "cpus": 0.5}
    words = json.dumps({name: common | options for name, options in applications.items()})
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.ray_cluster", str(port), words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with program:
        limit = threading.Timer(300, program.kill)  # reading ends then
        limit.start()
        try:
            assert any(line.strip() == "ready" for line in program.stdout)
            limit.cancel()
            yield [Application(name, port, registry, program) for name in applications]
        finally:
            limit.cancel()
            program.stdin.close()
            try:
                program.wait(60)
            except subprocess.TimeoutExpired:
                program.kill()


OF_GROUP = "0004-abcdef01"
FAMILIES = ("encoder-decoder", "decoder-only")
both_families = pytest.mark.parametrize("version", ["1", "2"], ids=FAMILIES)


@pytest.fixture(scope="module")
def registry(trained_folder, tmp_path_factory):
    """Version 1 is an encoder-decoder model, versions 2 and 3 the same decoder-only model.

    A group has a copy of version 1 as its own model, under another name.
    """
    root = tmp_path_factory.mktemp("cluster") / "artifacts"
    for number, family in enumerate((*FAMILIES, FAMILIES[1]), 1):
        path = Registry(trained_folder(family) / "artifacts").open().path
        name = f"{number:04d}-{path.name.split('-')[1]}"
        shutil.copytree(path, root / "versions" / name, symlinks=True)
    first = next((root / "versions").glob("0001-*"))
    group = root / "groups" / "climbers"
    shutil.copytree(first, group / "versions" / OF_GROUP, symlinks=True)
    (group / "current").write_text(f"{OF_GROUP}\n")
    return Registry(root)


@pytest.fixture(scope="module")
def clusters(registry):
    one_by_one = {"min_workers": 2, "max_workers": 2, "versions": 1, "queue": 2}
    with serving(registry, one_by_one=one_by_one, batching={"batch": 8}) as found:
        yield found


@pytest.fixture
def cluster(clusters):
    """Two workers, each with one version in memory, that take four requests and refuse more."""
    return clusters[0]


@pytest.fixture
def batching_cluster(clusters):
    return clusters[1]


@pytest.fixture(autouse=True)
def _long_timeouts(monkeypatch):
    """Raise the client's timeouts for busy machines."""
    for module in ("client", "completions"):
        monkeypatch.setattr(f"model.speaking.{module}.SECONDS", 120)


class Local:
    """A version in this process."""

    def __init__(self, artifact):
        self.artifact, self.codec = artifact, load_codec(artifact.tokenizer)
        self.engine = open_engine(artifact.engine, artifact.card.family, self.codec, device="cpu")

    def request(self, context, name):
        return request_of(self.codec, context, name)


@pytest.fixture
def local(registry, request):
    return Local(registry.open(request.getfixturevalue("version")))


@pytest.fixture
def version():
    return "2"


@both_families
def test_greedy_replies_and_scores_are_equal(local, cluster, version):
    codec, remote = local.codec, cluster.engine(version)
    requests = [local.request(context, name) for context in CONTEXTS for name in NAMES]

    here, there = (engine.candidates(requests, GREEDY) for engine in (local.engine, remote))

    assert [[one.ids for one in own] for own in there] == [[one.ids for one in own] for own in here]
    assert [own[0].is_complete for own in there] == [own[0].is_complete for own in here]
    replies = [own[0].ids for own in here]
    labels = [codec.label_ids(name) for name in NAMES]
    first = requests[0]
    for asked in ((first.prompt, first.forced, replies), (first.prompt, (), labels)):
        theirs = remote.scores(*asked)
        for row, ours in zip(theirs, local.engine.scores(*asked), strict=True):
            assert row == pytest.approx(ours, abs=1e-4)


def test_sampled_replies_have_the_same_distribution(local, cluster, version):
    assert_same_distribution(local.engine, cluster.engine(version), local.codec)


@both_families
def test_a_speaker_replies_in_a_voice(local, cluster, version):
    speaker = open_speaker(local.artifact, server=cluster.url)

    said = speaker.reply(CONTEXTS[0], "Hugo")
    voice, _ = speaker.turn(CONTEXTS[0], NAMES)

    assert all(said)
    assert voice in NAMES


def test_a_groups_own_version_is_served(cluster, registry):
    own = Local(registry.open("1"))
    client = GenerationClient(cluster.url, OF_GROUP)
    remote = CompletionsEngine(client, OF_GROUP, own.codec, own.artifact.card.family)
    asked = own.request(CONTEXTS[0], "Hugo")

    [[there]], [[here]] = (one.candidates([asked], GREEDY) for one in (remote, own.engine))

    assert there.ids == here.ids


def test_a_request_is_repeated_when_its_worker_is_killed(local, cluster, version):
    client = cluster.client(version)
    posts = []
    client._client.event_hooks = {"request": [posts.append]}
    asked = local.request(CONTEXTS[0], "Hugo")
    is_done, killed = threading.Event(), []

    def kill_the_busy_one():
        before = {one: sum(one.cpu_times()[:2]) for one in cluster.workers()}
        while not is_done.wait(0.1) and not killed:
            spent = {one: sum(one.cpu_times()[:2]) - start for one, start in before.items()}
            busiest = max(spent, key=spent.__getitem__)
            if spent[busiest] > 0.3:
                killed.append(busiest.pid)
                os.kill(busiest.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_the_busy_one)
    killer.start()
    try:
        drawn = cluster.engine(version, client).candidates([asked] * SLOW, LONG)
    finally:
        is_done.set()
        killer.join()

    assert killed
    assert [len(own) for own in drawn] == [LONG.candidates] * SLOW
    assert len(posts) == 2
    until = time.monotonic() + 60
    while len({one.pid for one in cluster.workers()} - set(killed)) < 2:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_versions_are_loaded_on_demand_and_the_oldest_is_unloaded(registry, cluster):
    versions = [Local(registry.open(number)) for number in ("1", "2", "3")]
    asked = [[one.request(CONTEXTS[0], "Hugo")] for one in versions]

    for _ in range(2):
        for number, (here, own) in enumerate(zip(versions, asked, strict=True), 1):
            [[drawn]] = cluster.engine(str(number)).candidates(own, GREEDY)
            assert drawn.ids == here.engine.candidates(own, GREEDY)[0][0].ids

    headers = {"serve_multiplexed_model_id": cluster.registry.find("3")}
    answers = [httpx.get(f"{cluster.url}/models", headers=headers) for _ in range(8)]
    loaded = [sum(one["loaded"] for one in answer.json()["data"]) for answer in answers]
    assert max(loaded) == 1


def test_too_many_requests_are_refused_at_once(local, cluster, version):
    asked = local.request(CONTEXTS[0], "Hugo")

    def ask(engine):
        try:
            return len(engine.candidates([asked], LONG)[0])
        except ServerBusyError:
            return "busy"

    engines = [cluster.engine(version) for _ in range(16)]
    with ThreadPoolExecutor(len(engines)) as threads:
        answers = Counter(threads.map(ask, engines))

    assert answers["busy"] > 0
    assert answers[LONG.candidates] >= 2
    assert set(answers) == {"busy", LONG.candidates}


def test_a_version_that_the_cluster_lacks_is_refused(cluster):
    with pytest.raises(
        ArtifactError, match="copy the version's folder into the cluster's models folder"
    ):
        GenerationClient(cluster.url, "0009-00000000")


def post(cluster, body, version="2", timeout=30):
    body = {"model": cluster.registry.find(version), **body}
    return httpx.post(f"{cluster.url}/completions", json=body, timeout=timeout)


def slow(local, count, **extension):
    """Return the body of a request that takes `count` times a third of a second."""
    return {
        "prompt": [[*local.request((), "Hugo").prompt]] * count, "n": LONG.candidates,
        "max_tokens": LONG.max_new_tokens, "temperature": LONG.temperature,
        "understudy": {"labels": [local.codec.label_ids("Hugo")] * count, **extension},
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"prompt": [1]},
        {"prompt": []},
        {"prompt": [[]]},
        {"prompt": [[1] * 700]},
        {"prompt": [[-1]]},
        {"prompt": [[10**6]]},
        {"prompt": [[1]], "n": 10**9},
        {"prompt": [[1]], "understudy": {"deadline": "inf"}},
        {"prompt": [[1]], "understudy": {"labels": [[1], [1]]}},
        {"prompt": [[1]], "understudy": {"labels": [[10**6]]}},
        {"prompt": [[1]], "understudy": {"decoder_prefixes": [[1]]}},  # it has no encoder
        {"prompt": [[1]], "prompt_logprobs": 0},
        {"prompt": [[1, 1]], "prompt_logprobs": 0, "understudy": {"unscored": 0}},
        {"prompt": "no", "prompt_logprobs": 0},
    ],
)
def test_a_request_that_makes_no_sense_harms_nothing(local, cluster, body):
    assert post(cluster, body).status_code == 400
    assert cluster.engine("2").candidates([local.request((), "Hugo")], GREEDY)


def test_other_addresses_are_not_found(cluster):
    assert httpx.post(f"{cluster.url}/nothing", json={}, timeout=30).status_code == 404


def test_another_client_of_the_protocol_is_answered(local, cluster):
    [prompt] = [[*local.request(CONTEXTS[0], "Hugo").prompt, *local.codec.label_ids("Hugo")]]
    asked = {"prompt": [prompt], "temperature": 0, "max_tokens": 24}

    [choice] = post(cluster, asked).json()["choices"]

    [[one]] = local.engine.candidates([local.request(CONTEXTS[0], "Hugo")], GREEDY)
    said = local.codec.text(one.ids).split("\n")[0]
    assert choice["text"] == said
    assert choice["finish_reason"] in {"stop", "length"}


@pytest.mark.parametrize("name", ["../../etc", "current", "2", "0009-00000000", "{path}"])
def test_only_versions_of_the_registry_are_opened(registry, cluster, local, version, name):
    remote = cluster.engine(version)
    remote.candidates([local.request((), "Hugo")], GREEDY)
    body = {"model": name.format(path=local.artifact.path), "prompt": [[1, 1]]}

    assert post(cluster, body).status_code == 404


@pytest.mark.parametrize("seconds", [0.2, -5])
def test_a_request_is_given_up_when_its_sender_no_longer_waits(local, cluster, seconds):
    deadline = time.time() + seconds

    answer = post(cluster, slow(local, SLOW, deadline=deadline))

    assert answer.status_code == 504
    assert time.time() < deadline + 6


def test_work_ends_when_its_sender_goes_away(local, cluster):
    with pytest.raises(httpx.ReadTimeout):
        post(cluster, slow(local, 4 * SLOW), timeout=1)

    def spent():
        return sum(sum(one.cpu_times()[:2]) for one in cluster.workers())

    time.sleep(1)
    before = spent()
    time.sleep(1)
    assert spent() - before < 0.5


def test_requests_at_once_go_to_workers_that_are_free(local, cluster, version):
    asked = local.request(CONTEXTS[0], "Hugo")
    engines = [cluster.engine(version) for _ in range(2)]

    def spent():
        return {one.pid: sum(one.cpu_times()[:2]) for one in cluster.workers()}

    before = spent()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda engine: engine.candidates([asked] * SLOW, LONG), engines))
    after = spent()

    used = sorted(after[pid] - before[pid] for pid in after)
    assert used[0] > 0.3 * used[1]


def test_requests_at_once_have_the_replies_that_they_have_alone(batching_cluster, local, version):
    asked = [local.request(context, name) for context in CONTEXTS for name in NAMES]
    engines = [batching_cluster.engine(version) for _ in asked]

    with ThreadPoolExecutor(len(asked)) as threads:
        drawn = list(
            threads.map(lambda engine, one: engine.candidates([one], GREEDY), engines, asked)
        )

    for one, [[there]] in zip(asked, drawn, strict=True):
        assert there.ids == local.engine.candidates([one], GREEDY)[0][0].ids
