// Keys press the buttons that name them, and forms are posted without leaving the page: the answer
// is the part that changes. Without this script the same buttons and forms work by themselves.
"use strict";

const part = () => document.getElementById("review");
let waiting = false;

document.documentElement.classList.add("with-script");

function tell(text) {
  document.getElementById("said").textContent = text;
}

async function post(form, button) {
  if (waiting) return; // A key that repeats must not judge a pair that nobody has seen.
  waiting = true;
  part().classList.add("waiting");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form, button)),
      headers: { "X-Hone-Part": "1", Accept: "text/html" },
    });
    if (answer.redirected || answer.status === 401) location.reload(); // logged out meanwhile
    else if (answer.ok) show(await answer.text());
    else tell(`Not stored: ${(await answer.json().catch(() => ({}))).detail ?? answer.status}`);
  } catch {
    tell("Not stored: the host does not answer. Try again.");
  } finally {
    waiting = false;
    part().classList.remove("waiting");
  }
}

function show(html) {
  const page = new DOMParser().parseFromString(html, "text/html");
  part().replaceChildren(...page.body.childNodes);
  tell(part().querySelector("[data-said]")?.dataset.said ?? "");
  part().querySelector("h1")?.focus({ preventScroll: true });
  // Another pair is another page to look at; where it came from is left behind.
  history.replaceState(null, "", addressOfQueue());
}

function addressOfQueue() {
  const address = new URL(location.href);
  address.searchParams.delete("completion");
  return address;
}

function press(target) {
  if (target.tagName !== "SUMMARY") return target.click();
  const details = target.parentElement;
  details.open = true;
  const text = details.querySelector("textarea");
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
}

function inText(event) {
  if (event.key === "Escape") {
    event.target.closest("details").open = false;
    event.target.blur();
  } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    event.target.form.querySelector("[data-save]").click();
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form[data-part]")) return;
  event.preventDefault();
  post(event.target, event.submitter);
});

document.addEventListener("change", (event) => {
  event.target.closest("form[data-filters]")?.submit();
});

document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "TEXTAREA") return inText(event);
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const target = part().querySelector(`[data-keys~="${CSS.escape(event.key)}"]`);
  if (!target) return;
  event.preventDefault();
  press(target);
});
