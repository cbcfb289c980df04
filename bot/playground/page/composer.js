// The line in which a person writes: commands, names, replies, edits, stickers and pictures.

import { closeOnBackdrop, find, make, toast } from "./elements.js";
import { textOf } from "./messages.js";

const STICKERS = [..."😂❤🎉🔥😭🤔🙈👀😎🥳😴🤯🍕🐶🌊💀"];
const LARGEST_SIDE = 1280; // pixels, as Telegram's apps send pictures
const NAMED = /^(\/as|\/simulate)\s+(\S*)$/;

export class Composer {
  // `send(name, fields)` performs an action as the chosen person and returns whether it worked.
  constructor(group, send) {
    this.group = group;
    this.send = send;
    this.text = find("text");
    this.menu = find("menu");
    this.replied = this.edited = null;
    this.options = [];
    this.chosen = 0;
    this.text.addEventListener("input", () => this.changed());
    this.text.addEventListener("keydown", (event) => this.onKey(event));
    this.text.addEventListener("blur", () => this.closeMenu());
    find("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    find("commands").addEventListener("click", () => this.write("/"));
    find("context-close").addEventListener("click", () => this.cancel());
    find("picture").addEventListener("click", () => find("file").click());
    find("file").addEventListener("change", () => this.sendPicture());
    this.setUpStickers();
  }

  // Put a text into the line and move the cursor there.
  write(text) {
    this.text.value = text;
    this.text.focus();
    this.changed();
  }

  reply(message) {
    this.cancel();
    this.replied = message;
    this.showContext(`Reply to ${message.from.first_name}: ${textOf(message)}`);
  }

  edit(message) {
    this.cancel();
    this.edited = message;
    this.showContext("Edit your message");
    this.write(message.text ?? message.caption ?? "");
  }

  cancel() {
    if (this.edited) this.write("");
    this.replied = this.edited = null;
    find("context").hidden = true;
  }

  showContext(text) {
    find("context-text").textContent = text;
    find("context").hidden = false;
    this.text.focus();
  }

  // Send the text; if that is refused, put it back.
  async submit() {
    const { edited, replied } = this;
    const text = this.text.value.trim();
    if (!text) return;
    this.edited = null;
    this.cancel();
    this.write("");
    const sent = edited
      ? await this.send("edit", { message: edited.message_id, text })
      : await this.send("say", { text, reply: replied?.message_id });
    if (!sent && !this.text.value) this.write(text);
  }

  changed() {
    this.text.style.setProperty("height", "auto");
    this.text.style.setProperty("height", `${this.text.scrollHeight}px`);
    this.options = this.findOptions();
    this.chosen = 0;
    this.showMenu();
  }

  // Return the commands that begin like the text, or the names after a command that takes them.
  findOptions() {
    const text = this.text.value;
    if (/^\/\w*$/.test(text)) {
      return this.group.commands
        .filter(({ command }) => `/${command}`.startsWith(text))
        .map(({ command, description }) => ({
          text: `/${command} `,
          label: `/${command}`,
          description,
        }));
    }
    const [, command, start] = text.match(NAMED) ?? [];
    if (!command) return [];
    return this.group.people
      .filter(({ name, isVoice }) => isVoice && name.toLowerCase().startsWith(start.toLowerCase()))
      .map(({ name }) => ({ text: `${command} ${name}`, label: name, description: "" }));
  }

  showMenu() {
    const isOpen = this.options.length > 0;
    this.menu.replaceChildren(
      ...this.options.map(({ label, description }, place) =>
        make(
          "div",
          {
            id: `option-${place}`,
            role: "option",
            "aria-selected": String(place === this.chosen),
            onmousedown: (event) => event.preventDefault(), // keep the focus in the line
            onclick: () => this.take(place),
          },
          make("b", {}, label),
          make("span", {}, description),
        ),
      ),
    );
    this.menu.hidden = !isOpen;
    if (isOpen) this.text.setAttribute("aria-activedescendant", `option-${this.chosen}`);
    else this.text.removeAttribute("aria-activedescendant");
    this.menu.children[this.chosen]?.scrollIntoView({ block: "nearest" });
  }

  closeMenu() {
    this.options = [];
    this.showMenu();
  }

  take(place) {
    this.write(this.options[place].text);
    if (!this.text.value.endsWith(" ")) this.closeMenu();
  }

  onKey(event) {
    if (event.isComposing) return;
    const isOpen = this.options.length > 0;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (isOpen && step) {
      this.chosen = (this.chosen + step + this.options.length) % this.options.length;
      this.showMenu();
    } else if (isOpen && (event.key === "Tab" || event.key === "Enter") && !event.shiftKey && !this.isComplete()) {
      this.take(this.chosen);
    } else if (event.key === "Escape") {
      if (isOpen) this.closeMenu();
      else this.cancel();
    } else if (event.key === "Enter" && !event.shiftKey) {
      this.submit();
    } else {
      return;
    }
    event.preventDefault();
  }

  // Whether the text is already the chosen option.
  isComplete() {
    return this.text.value.trim() === this.options[this.chosen].text.trim();
  }

  setUpStickers() {
    const picker = find("picker");
    closeOnBackdrop(picker);
    const choose = async (emoji) => {
      picker.close();
      await this.send("sticker", { emoji });
    };
    picker.append(
      ...STICKERS.map((emoji) =>
        make(
          "button",
          { type: "button", "aria-label": `Sticker ${emoji}`, onclick: () => choose(emoji) },
          emoji,
        ),
      ),
    );
    find("stickers").addEventListener("click", () => picker.showModal());
  }

  // Send the chosen picture, smaller and as JPEG, with the text as its caption.
  async sendPicture() {
    const [file] = find("file").files;
    find("file").value = "";
    if (!file) return;
    try {
      const picture = await createImageBitmap(file);
      const scale = Math.min(1, LARGEST_SIDE / Math.max(picture.width, picture.height));
      const canvas = make("canvas", {
        width: Math.max(1, Math.round(picture.width * scale)),
        height: Math.max(1, Math.round(picture.height * scale)),
      });
      canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
      const content = canvas.toDataURL("image/jpeg", 0.85).split(",")[1];
      if (await this.send("picture", { content, text: this.text.value.trim() })) this.write("");
    } catch {
      toast("This file is not a picture that the browser can read.");
    }
  }
}
