"""A small OpenAI-compatible completions server with vLLM's extra parameters, for tests.

It runs a transformers model on the processor. `fail_next` makes the next requests fail.
"""

import json
import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
import transformers

DROP = "drop"


class Completions:
    """The model, and what it was asked."""

    def __init__(self, folder, name):
        self.name = name
        self.weights = transformers.AutoModelForCausalLM.from_pretrained(folder).float().eval()
        self.failures = deque()
        self.asked = []
        self.lock = threading.Lock()
        self.rng = torch.Generator().manual_seed(0)

    def fail_next(self, *failures):
        """Let the next requests fail: with a status, or by closing the connection (DROP)."""
        self.failures.extend(failures)

    def answer(self, body):
        with self.lock, torch.inference_mode():
            self.asked.append(body)
            prompts = body["prompt"] if isinstance(body["prompt"][0], list) else [body["prompt"]]
            choices = []
            for prompt in prompts:
                for _ in range(body.get("n", 1)):
                    choices.append(self.complete(prompt, body) | {"index": len(choices)})
            choices.reverse()  # no order is promised
            return {"choices": choices}

    def complete(self, prompt, body):
        ids, scores, reason = list(prompt), [], "length"
        for _ in range(body["max_tokens"]):
            logits = self.weights(torch.tensor([ids])).logits[0, -1]
            for token, bias in body.get("logit_bias", {}).items():
                logits[int(token)] += bias
            scores.append(logits.log_softmax(-1))
            ids.append(self.draw(logits, ids, body))
            if ids[-1] in body.get("stop_token_ids", ()):
                reason = "stop"
                break
        own = ids[len(prompt) :]
        values = [float(row[token]) for row, token in zip(scores, own, strict=True)]
        names = [f"token_id:{token}" for token in own]
        return {
            "finish_reason": reason,
            "text": "",
            "logprobs": {"tokens": names, "token_logprobs": values},
            "prompt_logprobs": self.score(prompt) if "prompt_logprobs" in body else None,
        }

    def score(self, prompt):
        rows = self.weights(torch.tensor([prompt])).logits[0].log_softmax(-1)
        scored = zip(rows, prompt[1:], strict=False)
        return [None, *({str(token): {"logprob": float(row[token])}} for row, token in scored)]

    def draw(self, logits, ids, body):
        processors = transformers.LogitsProcessorList()
        if (penalty := body.get("repetition_penalty", 1.0)) != 1:
            processors.append(transformers.RepetitionPenaltyLogitsProcessor(penalty))
        if not body["temperature"]:
            return int(logits.argmax())
        processors.append(transformers.TemperatureLogitsWarper(float(body["temperature"])))
        if body.get("top_k", -1) > 0:
            processors.append(transformers.TopKLogitsWarper(body["top_k"]))
        if body.get("top_p", 1.0) < 1:
            processors.append(transformers.TopPLogitsWarper(body["top_p"]))
        chosen = processors(torch.tensor([ids]), logits[None])[0].softmax(-1)
        return int(torch.multinomial(chosen, 1, generator=self.rng))


def make_handler(completions):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply(200, {"data": [{"id": completions.name}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            failure = completions.failures.popleft() if completions.failures else None
            if failure == DROP:
                self.close_connection = True
            elif failure:
                self.reply(failure, {"error": "failed"})
            elif body["temperature"] > 2 or "echo" in body:  # vLLM without a tokenizer refuses both
                self.reply(400, {"error": "invalid"})
            else:
                self.reply(200, completions.answer(body))

        def reply(self, status, content):
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    return Handler


@contextmanager
def serving(folder, name):
    """Serve a folder's weights under a name; yield the server's address and the model."""
    completions = Completions(folder, name)
    with ThreadingHTTPServer(("127.0.0.1", 0), make_handler(completions)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", completions
        finally:
            server.shutdown()
            thread.join()
