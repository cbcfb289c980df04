// The page: choose who writes, show what the server reports, and offer actions on messages.

import { Composer } from "./composer.js";
import { Connection, Refused, takeToken } from "./connection.js";
import { closeOnBackdrop, colourOf, find, initial, make, toast } from "./elements.js";
import { Log, isVoice } from "./messages.js";

const REACTIONS = ["👍", "❤", "😁", "🔥", "🤔", "👎"];
const TYPING_SECONDS = 5.5; // Telegram shows a typing action for 5 s
const WIDE = matchMedia("(min-width: 760px)");

const STATES = {
  connected: "",
  lost: "No connection: is the playground still running?",
  refused: "Open the address that the terminal shows: this page needs its token.",
  stopped: "The bot has stopped. The terminal shows why.",
};

// The group as the chosen person sees it.
const group = {
  people: [],
  menus: {},
  person: { id: 0, name: "" },
  bot: { id: 0, first_name: "" },

  get commands() {
    return this.menus[find("language").value] ?? [];
  },

  nameOf(id) {
    return this.people.find((person) => person.id === id)?.name ?? "Somebody";
  },

  idOfVoice(name) {
    return this.people.find((person) => person.name === name)?.id;
  },

  colour(id) {
    const place = this.people.findIndex((person) => person.id === id);
    return place < 0 ? "colour-bot" : colourOf(place);
  },
};

const connection = new Connection(takeToken());

// Perform an action as the chosen person; show why it is refused.
async function act(name, fields) {
  if (fields.text?.startsWith("/")) document.body.dataset.tried = "";
  try {
    const language = find("language").value;
    return await connection.act(name, { person: group.person.id, language, ...fields });
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    toast(error.message);
    return null;
  }
}

const composer = new Composer(group, act);
const log = new Log(group, {
  open: openActions,
  react: (message, emoji) => act("react", { message: message.message_id, emoji }),
  vote: (message, option) => act("vote", { message: message.message_id, option }),
  write: (text) => composer.write(text),
  loadFile: (id) => connection.file(id),
  press: (message, button) =>
    act("press", { message: message.message_id, data: button.callback_data }),
});

const HANDLERS = {
  group(event) {
    group.people = event.people;
    group.menus = event.commands;
    group.bot = event.bot;
    find("title").textContent = event.title;
    document.title = `${event.title} · Understudy playground`;
    STATES.connected = `Simulated group · ${event.people.length} friends and a bot`;
    const earlier = Number(sessionStorage.getItem("person"));
    group.person = event.people.find(({ id }) => id === earlier) ?? event.people[0];
    showState("connected");
    showPeople();
    log.reset(event.messages);
    showIdeas();
  },
  message({ message }) {
    if (message.from.id === group.bot.id) showTyping(false);
    log.put(message);
  },
  deleted({ message }) {
    log.remove(message);
  },
  commands({ commands }) {
    group.menus = commands;
  },
  action({ action }) {
    showTyping(true, action === "typing" ? "is typing" : "is choosing a sticker");
  },
  answer({ person, text, isAlert }) {
    if (person !== group.person.id || !text) return;
    if (!isAlert) return toast(text);
    find("alert-text").textContent = text;
    find("alert").showModal();
  },
  stopped() {
    showState("stopped");
    showTyping(false);
  },
};

function showState(state) {
  if (document.body.dataset.state === "stopped" && state === "lost") return;
  document.body.dataset.state = state;
  find("state").textContent = STATES[state];
  for (const element of find("composer").querySelectorAll("button, textarea"))
    element.disabled = state === "refused" || state === "stopped";
}

function showTyping(isTyping, what = "") {
  const shown = find("typing");
  clearTimeout(showTyping.timer);
  if (!isTyping) return shown.replaceChildren();
  const dots = make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i"));
  if (!shown.firstChild) shown.replaceChildren(`${group.bot.first_name} ${what}`, dots);
  showTyping.timer = setTimeout(() => showTyping(false), 1000 * TYPING_SECONDS);
}

function showPeople() {
  find("people-list").replaceChildren(
    ...group.people.map((person, place) => {
      const radio = make("input", {
        type: "radio",
        name: "person",
        value: person.id,
        checked: person.id === group.person.id,
        onchange: () => choosePerson(person),
      });
      return make(
        "label",
        {},
        radio,
        make("span", { class: `avatar ${colourOf(place)}`, "aria-hidden": "true" }, initial(person.name)),
        make("span", { class: "person" }, person.name),
        make("span", { class: "note" }, person.isAdmin ? "admin" : ""),
      );
    }),
  );
  find("text").placeholder = `Write as ${group.person.name}`;
}

function choosePerson(person) {
  group.person = person;
  sessionStorage.setItem("person", person.id);
  find("text").placeholder = `Write as ${person.name}`;
  composer.cancel();
  log.refresh();
  showIdeas();
}

// Suggest commands, with another person's voice.
function showIdeas() {
  const voices = group.people.filter(({ isVoice, id }) => isVoice && id !== group.person.id);
  const voice = voices.find(({ name }) => name === "Hugo") ?? voices[0];
  const ideas = voice ? [`/as ${voice.name}`] : [];
  find("ideas").replaceChildren(
    ...[...ideas, "/simulate 5", "/guess", "/help"].map((text) =>
      make("li", {}, make("button", { type: "button", onclick: () => act("say", { text }) }, text)),
    ),
  );
}

// Offer what a person may do with a message: near it, or on a narrow page at the bottom.
function openActions(message, element) {
  const dialog = find("actions");
  const isOwn = message.from.id === group.person.id;
  const own = message.reactions[group.person.id] ?? [];
  const item = (label, run, attributes = {}) => {
    const onclick = () => {
      dialog.close();
      run();
    };
    return make("button", { type: "button", ...attributes, onclick }, label);
  };
  const react = (emoji) => {
    const isSet = own.includes(emoji);
    const run = () => act("react", { message: message.message_id, emoji: isSet ? null : emoji });
    return item(emoji, run, { "aria-label": `React with ${emoji}`, "aria-pressed": String(isSet) });
  };
  const isText = message.text !== undefined || message.caption !== undefined;
  dialog.replaceChildren(
    make("div", { class: "emoji" }, ...REACTIONS.map(react)),
    item("Reply", () => composer.reply(message)),
    ...(isVoice(message) ? [item("How was this generated? (/why)", () => act("say", { text: "/why", reply: message.message_id }))] : []),
    ...(isOwn && isText ? [item("Edit", () => composer.edit(message))] : []),
    ...(isOwn ? [item("Delete", () => act("delete", { message: message.message_id }))] : []),
  );
  dialog.showModal();
  const place = element.getBoundingClientRect();
  const top = Math.max(8, Math.min(place.top, innerHeight - dialog.offsetHeight - 8));
  const left = Math.max(8, Math.min(place.left, innerWidth - dialog.offsetWidth - 8));
  dialog.style.setProperty("top", WIDE.matches ? `${top}px` : "");
  dialog.style.setProperty("left", WIDE.matches ? `${left}px` : "");
}

for (const id of ["actions", "alert", "viewer"]) closeOnBackdrop(find(id));
if (navigator.language.toLowerCase().startsWith("pt")) find("language").value = "pt";
connection.listen((event) => HANDLERS[event.kind]?.(event), showState);
