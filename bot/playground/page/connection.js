// The connection to the server: actions, files, and the stream of events.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 5000;

export class Refused extends Error {}

// The token is in the address after the #. It is stored for a reload and removed from the address.
export function takeToken() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
  return given || sessionStorage.getItem("token") || "";
}

export class Connection {
  constructor(token) {
    this.headers = { "Authorization": `Bearer ${token}`, "Content-Type": "application/json" };
  }

  async request(name, body) {
    return await fetch(`api/${name}`, {
      method: "POST",
      headers: this.headers,
      body: JSON.stringify(body),
    });
  }

  // Perform an action; throw Refused with the server's reason.
  async act(name, body) {
    let answer;
    try {
      answer = await this.request(name, body);
    } catch {
      throw new Refused("the playground does not answer: is it still running?");
    }
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Refused(problem.error || `the playground answered ${answer.status}`);
    }
    return await answer.json();
  }

  async file(id) {
    const answer = await this.request("file", { file: id });
    return answer.ok ? await answer.blob() : null;
  }

  // Pass each event to onEvent, and connect again after a loss, until the token is refused.
  async listen(onEvent, onState) {
    for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
      try {
        const answer = await this.request("events", {});
        if (answer.status === 403) {
          onState("refused");
          return;
        }
        if (answer.ok) {
          onState("connected");
          pause = FIRST_PAUSE;
          await readEvents(answer.body, onEvent);
        }
      } catch (error) {
        if (!(error instanceof TypeError) && error.name !== "AbortError") throw error;
      }
      onState("lost");
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}

// Read server-sent events of one line of JSON each.
async function readEvents(body, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      if (block.startsWith("data: ")) onEvent(JSON.parse(block.slice("data: ".length)));
    }
  }
}
