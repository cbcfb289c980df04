// The messages of the group: bubbles, quotes, pictures, buttons, quizzes and reactions.

import { appendTo, colourOf, find, initial, make } from "./elements.js";

const VOICE = /^🎭 ([^\n]+)\n([^]*)$/u;
const COMMAND = /(^|[\s(])(\/[a-z_]+)/g;
const NEAR_END = 120; // pixels from the end at which the log follows new messages
const QUOTE_LENGTH = 90;

export function textOf(message) {
  if (message.sticker) return `${message.sticker.emoji} Sticker`;
  if (message.poll) return message.poll.question;
  const caption = message.text ?? message.caption ?? "";
  if (message.photo) return caption ? `Picture: ${caption}` : "Picture";
  return message.document ? message.document.file_name : caption;
}

export function isVoice(message) {
  return VOICE.test(message.text ?? "");
}

export class Log {
  // `actions` are functions: open(message, element), react(message, emoji), press(message, button),
  // vote(message, option), write(text), loadFile(id).
  constructor(group, actions) {
    this.group = group;
    this.actions = actions;
    this.log = find("log");
    this.messages = new Map();
    this.pictures = new Map();
    this.log.addEventListener("keydown", (event) => this.moveFocus(event));
    this.log.addEventListener("scroll", () => this.isAtEnd() && (find("newest").hidden = true));
    find("newest").addEventListener("click", () => this.scrollToEnd());
    new ResizeObserver(() => this.follows && this.scrollToEnd()).observe(this.log);
  }

  // Show other messages; they are not read out.
  reset(messages) {
    this.log.ariaLive = "off";
    this.log.replaceChildren();
    this.messages.clear();
    for (const message of messages) {
      this.messages.set(message.message_id, message);
      this.log.append(this.render(message));
    }
    this.arrange();
    this.scrollToEnd();
    setTimeout(() => (this.log.ariaLive = "polite"), 100);
  }

  // Add a message, or replace the one with its id.
  put(message) {
    const isNew = !this.messages.has(message.message_id);
    const wasAtEnd = this.isAtEnd();
    this.messages.set(message.message_id, message);
    const element = this.render(message);
    if (isNew) {
      this.log.append(element);
    } else {
      const earlier = this.element(message.message_id);
      const hadFocus = earlier.contains(document.activeElement);
      earlier.replaceWith(element);
      if (hadFocus) element.focus({ preventScroll: true });
    }
    this.arrange();
    if (wasAtEnd || message.from.id === this.group.person.id) this.scrollToEnd();
    else if (isNew) find("newest").hidden = false;
  }

  remove(id) {
    this.element(id)?.remove();
    this.messages.delete(id);
    this.arrange();
  }

  // Draw all messages again, as another person sees them.
  refresh() {
    const messages = [...this.messages.values()];
    this.reset(messages);
  }

  element(id) {
    return find(`message-${id}`);
  }

  get last() {
    return this.log.lastElementChild;
  }

  isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END;
  }

  scrollToEnd() {
    this.log.scrollTop = this.log.scrollHeight;
    this.follows = true;
    find("newest").hidden = true;
  }

  // Join messages of one sender, and let Tab reach the last message.
  arrange() {
    let sender = null;
    for (const element of this.log.children) {
      element.classList.toggle("follows", element.dataset.sender === sender);
      element.tabIndex = element === this.last ? 0 : -1;
      sender = element.classList.contains("service") ? null : element.dataset.sender;
    }
  }

  moveFocus(event) {
    const current = event.target;
    if (current.parentElement !== this.log) return;
    const target = {
      ArrowUp: current.previousElementSibling,
      ArrowDown: current.nextElementSibling,
      Home: this.log.firstElementChild,
      End: this.last,
    }[event.key];
    if (target) {
      target.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && !current.classList.contains("service")) {
      this.actions.open(this.messages.get(Number(current.dataset.id)), current);
      event.preventDefault();
    }
  }

  render(message) {
    const { group } = this;
    const date = new Date(message.date * 1000);
    const isToday = date.toDateString() === new Date().toDateString();
    const time = date.toLocaleString([], {
      ...(isToday ? {} : { day: "numeric", month: "short" }),
      hour: "2-digit",
      minute: "2-digit",
    });
    const attributes = { id: `message-${message.message_id}`, "data-id": message.message_id };
    if (message.new_chat_members) {
      const added = message.new_chat_members.map((user) => user.first_name).join(", ");
      const text = `${message.from.first_name} added ${added}`;
      return make("article", { ...attributes, class: "message service", tabindex: "-1" }, text);
    }
    const isOwn = message.from.id === group.person.id;
    const kind = isOwn ? "own" : message.from.is_bot ? "bot" : "other";
    const name = message.from.first_name;
    const colour = group.colour(message.from.id);
    const header = make("p", { class: `name ${colour}` }, name);
    if (message.from.is_bot) header.append(make("span", { class: "badge" }, "bot"));
    const bubble = make(
      "div",
      { class: message.sticker ? "bubble bare" : "bubble" },
      isOwn ? null : header,
      this.renderQuote(message),
      ...this.renderBody(message),
      make("p", { class: "meta" }, message.edit_date && !message.from.is_bot ? `edited ${time}` : time),
    );
    const more = make(
      "button",
      {
        type: "button",
        class: "more",
        tabindex: "-1",
        "aria-label": `Actions for the message of ${name}`,
        onclick: (event) => this.actions.open(message, event.currentTarget),
      },
      "⋯",
    );
    return make(
      "article",
      {
        ...attributes,
        class: `message ${kind}`,
        "data-sender": message.from.id,
        "aria-label": `${name}, ${time}`,
        tabindex: "-1",
      },
      isOwn ? null : make("span", { class: `avatar ${colour}`, "aria-hidden": "true" }, message.from.is_bot ? "🎭" : initial(name)),
      make("div", { class: "column" }, bubble, this.renderReactions(message), this.renderButtons(message)),
      more,
    );
  }

  renderQuote(message) {
    const replied = message.reply_to_message;
    if (!replied) return null;
    const current = this.messages.get(replied.message_id) ?? replied;
    const voice = (current.text ?? "").match(VOICE);
    const text = voice ? voice[2] : textOf(current);
    const shown = text.length > QUOTE_LENGTH ? `${text.slice(0, QUOTE_LENGTH)}…` : text;
    const id = this.group.idOfVoice(voice?.[1]) ?? replied.from.id;
    const show = () => {
      const element = this.element(replied.message_id);
      element?.scrollIntoView({ block: "center" });
      element?.focus({ preventScroll: true });
    };
    return make(
      "button",
      { type: "button", class: `quote ${this.group.colour(id)}`, onclick: show },
      make("span", { class: "name" }, voice ? `🎭 ${voice[1]}` : replied.from.first_name),
      make("span", { class: "text" }, shown),
    );
  }

  renderBody(message) {
    if (message.sticker) return [make("p", { class: "sticker" }, message.sticker.emoji)];
    if (message.poll) return [this.renderPoll(message)];
    const parts = [];
    if (message.photo) parts.push(this.renderPicture(message));
    if (message.document) parts.push(this.renderDocument(message.document));
    const text = message.text ?? message.caption;
    if (text) parts.push(...this.renderText(message, text));
    return parts;
  }

  renderText(message, text) {
    const voice = message.from.is_bot ? text.match(VOICE) : null;
    if (voice) {
      const id = this.group.idOfVoice(voice[1]);
      const colour = id === undefined ? "" : this.group.colour(id);
      return [
        make("p", { class: `voice ${colour}` }, `🎭 ${voice[1]}`),
        make("p", { class: "text", dir: "auto" }, voice[2]),
      ];
    }
    const shown = make("p", { class: "text", dir: "auto" });
    let end = 0;
    for (const match of text.matchAll(COMMAND)) {
      const command = match[2];
      const start = match.index + match[1].length;
      const write = () => this.actions.write(`${command} `);
      appendTo(
        shown,
        text.slice(end, start),
        message.from.is_bot
          ? make("button", { type: "button", class: "command", onclick: write }, command)
          : make("span", { class: "command" }, command),
      );
      end = start + command.length;
    }
    appendTo(shown, text.slice(end));
    return [shown];
  }

  renderPicture(message) {
    const { file_id: id, width, height } = message.photo.at(-1);
    const image = make("img", { class: "picture", alt: message.caption || "Picture", width, height });
    if (!this.pictures.has(id)) {
      const load = async () => URL.createObjectURL(await this.actions.loadFile(id));
      this.pictures.set(id, load());
    }
    this.pictures.get(id).then((url) => (image.src = url), () => (image.alt = "Picture (not loaded)"));
    const enlarge = () => {
      const shown = find("viewer").querySelector("img");
      shown.src = image.src;
      shown.alt = image.alt;
      find("viewer").showModal();
    };
    return make("button", { type: "button", class: "enlarge", "aria-label": "Enlarge the picture", onclick: enlarge }, image);
  }

  renderDocument(document) {
    const save = async () => {
      const url = URL.createObjectURL(await this.actions.loadFile(document.file_id));
      make("a", { href: url, download: document.file_name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    };
    const size = `${Math.max(1, Math.round(document.file_size / 1024))} kB`;
    return make("button", { type: "button", class: "document", onclick: save }, `📄 ${document.file_name} (${size})`);
  }

  // Before the person has answered, the options are buttons; then the result is shown.
  renderPoll(message) {
    const { poll, votes } = message;
    const own = votes[this.group.person.id];
    const right = poll.correct_option_ids[0];
    const options = poll.options.map((option, place) => {
      if (own === undefined) {
        const choose = () => this.actions.vote(message, place);
        return make("button", { type: "button", class: "option", onclick: choose }, option.text);
      }
      const share = poll.total_voter_count ? option.voter_count / poll.total_voter_count : 0;
      const percent = `${Math.round(100 * share)} %`;
      const voters = Object.keys(votes).filter((id) => votes[id] === place);
      const names = voters.map((id) => this.group.nameOf(Number(id))).join(", ");
      const mark = place === right ? "✓ " : place === own ? "✗ " : "";
      const bar = make("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", share);
      const kind = place === right ? "right" : place === own ? "wrong" : "";
      return make(
        "div",
        { class: `option result ${kind}` },
        make("span", {}, `${mark}${option.text}`),
        make("span", { class: "percent" }, percent),
        bar,
        names ? make("span", { class: "voters" }, `chosen by ${names}`) : null,
      );
    });
    const count = poll.total_voter_count;
    const answers = count === 1 ? "1 answer" : `${count} answers`;
    return make(
      "div",
      { class: "poll", role: "group", "aria-label": "Quiz" },
      make("p", { class: "text question", dir: "auto" }, poll.question),
      ...options,
      make("p", { class: "note" }, own !== undefined && poll.explanation ? poll.explanation : `Quiz · ${answers}`),
    );
  }

  renderReactions(message) {
    const byEmoji = new Map();
    for (const [id, emoji] of Object.entries(message.reactions)) {
      for (const one of emoji) byEmoji.set(one, [...(byEmoji.get(one) ?? []), Number(id)]);
    }
    if (!byEmoji.size) return null;
    const chips = [...byEmoji].map(([emoji, ids]) => {
      const isOwn = ids.includes(this.group.person.id);
      const names = ids.map((id) => this.group.nameOf(id)).join(", ");
      return make(
        "button",
        {
          type: "button",
          "aria-pressed": String(isOwn),
          "aria-label": `${emoji} by ${names}`,
          title: names,
          onclick: () => this.actions.react(message, isOwn ? null : emoji),
        },
        `${emoji} ${ids.length}`,
      );
    });
    return make("div", { class: "reactions" }, ...chips);
  }

  renderButtons(message) {
    const rows = message.reply_markup?.inline_keyboard;
    if (!rows) return null;
    return make(
      "div",
      { class: "buttons" },
      ...rows.map((row) =>
        make(
          "div",
          {},
          ...row.map((button) =>
            make("button", { type: "button", onclick: () => this.actions.press(message, button) }, button.text),
          ),
        ),
      ),
    );
  }
}
