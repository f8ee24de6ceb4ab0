"use strict";
// The inbox's own script: new mail comes in from /v1/captured as JSON, rows and words for people go out.
// Whatever a mail says is only ever put into text nodes. Without this script the pages work, they only stand still.

const WAIT_SECONDS = 25;
const BATCH = 10; // mails come with their attachments
const ROWS = 200;

const list = document.getElementById("mails");
const news = document.getElementById("news");
const live = document.getElementById("live");
const title = document.title;
let unseen = 0;

// ------------------------------------------------------------------------------------------------------------- times

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

function spoken(at) {
  const minutes = Math.floor((Date.now() - at) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  return at.toDateString() === new Date().toDateString() ? CLOCK.format(at) : `${DAY.format(at)}, ${CLOCK.format(at)}`;
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.title = FULL.format(at);
    time.textContent = "full" in time.dataset ? FULL.format(at) : spoken(at);
  }
}

// -------------------------------------------------------------------------------------------------------------- rows

function rowOf(mail) {
  const row = document.getElementById("row").content.firstElementChild.cloneNode(true);
  const field = (name) => row.querySelector(`[data-field=${name}]`);
  const files = mail.attachments.length;
  field("subject").textContent = mail.subject || "(no subject)";
  field("subject").href = `/captured/${encodeURIComponent(mail.id)}`;
  field("to").textContent = mail.to.join(", ");
  field("text").textContent = mail.text.slice(0, 600).split(/\s+/).filter(Boolean).join(" ").slice(0, 180);
  field("source").textContent = mail.source;
  field("at").dateTime = mail.captured;
  field("high").hidden = mail.priority !== "high";
  field("files").hidden = files === 0;
  field("files").textContent = files === 1 ? "1 file" : `${files} files`;
  row.classList.add("new");
  return row;
}

function show(mails) {
  for (const mail of mails) list.prepend(rowOf(mail));
  while (list.children.length > ROWS) list.lastElementChild.remove();
  list.hidden = false;
  document.getElementById("empty")?.remove();
  document.getElementById("clear").hidden = false;
  list.dataset.cursor = mails.at(-1).cursor;
  news.textContent = mails.length === 1 ? `New mail: ${mails[0].subject}` : `${mails.length} new mails`;
  unseen += document.hidden ? mails.length : 0;
  tellTitle();
  tellTimes();
}

function tellTitle() {
  document.title = unseen ? `(${unseen}) ${title}` : title;
}

// -------------------------------------------------------------------------------------------------------------- live

function tellLive(state, words) {
  live.hidden = false;
  live.dataset.state = state;
  live.firstElementChild.textContent = words;
}

// Behind a name that the browser does not trust without TLS, only this tells that no other site's page asks.
const OWN = { "X-Requested-With": "inbox" };

async function next(wait) {
  const query = new URLSearchParams({ cursor: list.dataset.cursor, wait, limit: BATCH });
  const answer = await fetch(`/v1/captured?${query}`, { headers: OWN });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  return (await answer.json()).items;
}

async function follow() {
  let pause = 0;
  tellLive("on", "live");
  for (;;) {
    try {
      const mails = await next(pause ? 0 : WAIT_SECONDS);
      if (pause) return location.reload(); // the gateway was away and may have another store now
      if (mails.length) show(mails);
    } catch {
      tellLive("away", "the gateway does not answer");
      pause = Math.min(pause * 2 || 500, 8000);
      await new Promise((resume) => setTimeout(resume, pause));
    }
  }
}

// ----------------------------------------------------------------------------------------------------------- buttons

async function copy(button) {
  const code = button.closest(".example").querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  } catch {
    getSelection().selectAllChildren(code); // no clipboard over plain http from another machine
    button.textContent = "Selected";
  }
}

async function clear() {
  if (!confirm("Delete all captured mail?")) return;
  await fetch("/v1/captured", { method: "DELETE" });
  location.assign("/");
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

tellTimes();
setInterval(tellTimes, 20000);

if (list && "follow" in list.dataset) {
  const button = document.getElementById("clear");
  button.hidden = list.hidden;
  button.addEventListener("click", clear);
  document.addEventListener("visibilitychange", () => {
    unseen = document.hidden ? unseen : 0;
    tellTitle();
  });
  follow();
}
