"""Generation on a completions server gives what generation in the process gives."""

from dataclasses import replace
from functools import partial

import httpx
import pytest

from model.errors import ArtifactError, GenerationStopped, ServerBusyError, ServerError
from model.speaking import client as generation_client
from model.speaking.client import GenerationClient
from model.speaking.completions import CompletionsEngine
from model.speaking.engine import GenerationRequest, list_forbidden_tokens, open_engine
from model.speaking.speaker import open_speaker
from pipeline.training.bases import open_tuned
from pipeline.training.kinds import write_engine
from tests.completions_server import DROP, serving
from tests.generation import (
    CONTEXTS,
    FAIR,
    GREEDY,
    NAMES,
    assert_same_distribution,
    request_of,
)

decoder_only = pytest.mark.parametrize("trained", ["decoder-only"], indirect=True)
encoder_decoder = pytest.mark.parametrize("trained", ["encoder-decoder"], indirect=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(generation_client, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(generation_client, "SECONDS", 120)  # for busy machines


@pytest.fixture(scope="module")
def artifact(trained):
    return trained.open()


@pytest.fixture
def server(artifact):
    with serving(artifact.weights, artifact.path.name) as (url, model):
        yield url, model


@pytest.fixture(scope="module")
def tuned(artifact):
    return open_tuned(artifact)


@pytest.fixture(scope="module")
def local(tuned, tmp_path_factory):
    """The same weights in this process, in float32."""
    folder = tmp_path_factory.mktemp("float32")
    write_engine(tuned.weights, tuned.codec, folder, "float32")
    return open_engine(folder, "decoder-only", tuned.codec, device="cpu")


@pytest.fixture
def codec(tuned):
    return tuned.codec


@pytest.fixture
def remote(artifact, codec, server):
    name = artifact.path.name
    return CompletionsEngine(GenerationClient(server[0], name), name, codec, "decoder-only")


@decoder_only
def test_greedy_replies_are_equal(codec, local, remote):
    for context in CONTEXTS:
        for name in NAMES:
            asked = request_of(codec, context, name)
            [[here]] = local.candidates([asked], GREEDY)
            [[there]] = remote.candidates([asked], GREEDY)

            assert there.ids == here.ids
            assert there.is_complete == here.is_complete


@decoder_only
def test_scores_are_equal(codec, local, remote):
    said = (("bark bark", "so it is"), ("bark",))
    replies = [codec.reply_ids("Hugo", messages).ids for messages in said]
    for context in CONTEXTS:
        asked = codec.prompt_ids(context, 384), codec.label_ids("Hugo"), replies

        here, there = (engine.scores(*asked) for engine in (local, remote))

        assert [len(row) for row in there] == [len(reply) for reply in replies]
        for ours, theirs in zip(here, there, strict=True):
            assert theirs == pytest.approx(ours, abs=1e-3)


@decoder_only
def test_the_next_speaker_has_the_same_probabilities(codec, local, remote):
    asked = codec.prompt_ids(CONTEXTS[0], 384), (), [codec.label_ids(name) for name in NAMES]

    here, there = (list(map(sum, engine.scores(*asked))) for engine in (local, remote))

    assert there == pytest.approx(here, abs=1e-3)


@pytest.mark.soak
@decoder_only
def test_sampled_replies_have_the_same_distribution(codec, local, remote):
    assert_same_distribution(local, remote, codec)


@decoder_only
def test_forbidden_tokens_are_not_drawn(codec, remote):
    hot = replace(FAIR, temperature=5, top_k=0, top_p=1, candidates=10)
    vocabulary = codec.tokenizer.get_vocab()
    forbidden = {vocabulary[piece] for [piece] in list_forbidden_tokens(codec)}

    [drawn] = remote.candidates([request_of(codec, CONTEXTS[0], "Hugo")], hot)

    assert all(forbidden.isdisjoint(one.ids) for one in drawn)


@decoder_only
def test_a_temperature_above_the_interface_s_limit_is_lowered(codec, remote, server):
    remote.candidates([request_of(codec, (), "Hugo")], replace(FAIR, temperature=3, candidates=1))

    assert server[1].asked[-1]["temperature"] == 2


@decoder_only
def test_a_reply_ends_where_somebody_else_speaks(codec, remote, server):
    _, model = server
    label, other = codec.label_ids("Hugo"), codec.label_ids("Tiago")
    words = [one for one in codec.reply_ids("Hugo", ("bark",)).ids if one != codec.newline_id]
    ids = [*words, codec.newline_id, *label, *words, codec.newline_id, *other, *words]
    model.complete = lambda *_: {
        "finish_reason": "length",
        "logprobs": {
            "tokens": [f"token_id:{one}" for one in ids],
            "token_logprobs": [-1.0] * len(ids),
        },
    }

    [[drawn]] = remote.candidates([GenerationRequest([5], label, label)], GREEDY)

    assert drawn.ids == [*words, codec.newline_id, *label, *words]
    assert drawn.is_complete


@decoder_only
def test_a_speaker_replies_in_a_voice_and_begins_as_asked(artifact, server):
    speaker = open_speaker(artifact, server=server[0])

    said = speaker.reply(CONTEXTS[0], "Hugo")
    begun = speaker.reply(CONTEXTS[0], "Hugo", "bark bark")
    voice, _ = speaker.turn(CONTEXTS[0], NAMES)

    assert all(said)
    assert begun[0].startswith("bark bark")
    assert voice in NAMES
    assert speaker.tokens > 0


@decoder_only
@pytest.mark.parametrize("failure", [DROP, 500, 502])
def test_a_request_that_a_server_loses_is_repeated(codec, remote, server, failure):
    server[1].fail_next(failure)

    [drawn] = remote.candidates([request_of(codec, (), "Hugo")], GREEDY)

    assert len(drawn) == 1


@decoder_only
@pytest.mark.parametrize("failures", [(400,), (500, 500), (DROP, DROP)])
def test_a_server_that_fails_stops_the_generation(codec, remote, server, failures):
    server[1].fail_next(*failures)

    with pytest.raises(GenerationStopped):
        remote.candidates([request_of(codec, (), "Hugo")], GREEDY)


@decoder_only
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_not_asked_again(codec, remote, server, status):
    server[1].fail_next(status)

    with pytest.raises(ServerBusyError):
        remote.candidates([request_of(codec, (), "Hugo")], GREEDY)

    assert server[1].asked == []


@decoder_only
@pytest.mark.parametrize(
    "answer",
    [
        {"choices": None},
        {"choices": [{"index": 0, "logprobs": None}]},
        {"choices": []},
        [1],
        {"choices": [{"index": "x"}]},
        {
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": {"tokens": ["token_id:5"], "token_logprobs": [float("nan")]},
                }
            ]
        },
    ],
)
def test_an_answer_that_makes_no_sense_stops_the_generation(codec, remote, server, answer):
    server[1].answer = lambda _: answer

    with pytest.raises(ServerError):
        remote.candidates([request_of(codec, (), "Hugo")], GREEDY)
    with pytest.raises(ServerError):
        remote.scores([1, 2], (), [[3]])


@decoder_only
def test_a_reply_that_has_begun_waits_for_a_busy_server(codec, local, remote, server):
    server[1].fail_next(503, 503, 429)

    [found] = remote.scores([1, 2], (), [[3]])

    assert found == pytest.approx(local.scores([1, 2], (), [[3]])[0], abs=1e-3)


@pytest.mark.parametrize("answer", ["[" * 100_000, "null", '{"data": 1}', '{"data": [{}]}', ""])
def test_a_list_of_versions_that_makes_no_sense_is_refused(monkeypatch, answer):
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text=answer))
    make = partial(httpx.Client, transport=transport)
    monkeypatch.setattr(generation_client.httpx, "Client", make)

    with pytest.raises(ArtifactError, match="does not answer"):
        GenerationClient("http://127.0.0.1:9/v1", "0001-x")


@decoder_only
def test_another_version_is_refused(server):
    with pytest.raises(ArtifactError, match="serves .*, not 0009-x: start it with"):
        GenerationClient(server[0], "0009-x")


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(ArtifactError, match=r"GENERATION_URL does not answer \(ConnectError\)"):
        GenerationClient("http://127.0.0.1:9/v1", "0001-x")


@encoder_decoder
def test_an_encoder_decoder_model_is_refused(artifact, monkeypatch):
    listed = (False, [artifact.path.name])
    monkeypatch.setattr(GenerationClient, "_list_versions", lambda _: listed)

    with pytest.raises(ArtifactError, match="other completion servers cannot"):
        open_speaker(artifact, server="http://127.0.0.1:9/v1")


@decoder_only
def test_only_token_ids_are_sent(codec, remote, server):
    remote.candidates([request_of(codec, CONTEXTS[0], "Hugo")], GREEDY)

    [body] = server[1].asked
    assert all(isinstance(one, int) for own in body["prompt"] for one in own)
    assert "Hugo" not in str(body)
