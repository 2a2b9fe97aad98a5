// What is asked, offered, taken and said, in a whole extension with a fake VS Code around it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SETTINGS } from "./fakes";
import { ACTIVE, ASKED, AT, SUGGESTION, consenting, offer, opened, sent } from "./window";

test("only slow answers show that it thinks", async () => {
  const window = await opened();
  await offer(window);
  const answered = window.hone.asking(ASKED);
  await window.editor.pass(250);
  answered([SUGGESTION], true);
  assert.deepEqual(window.editor.kinds, ["starting", "ready", "thinking", "ready"]);
  assert.equal(window.hone.suggestions.latencyMs, 250);
});

test("what is switched off asks nothing, but on demand it does", async () => {
  const window = await opened();
  const { editor, hone } = window;
  assert.ok(hone.mayAsk(ASKED));
  for (const off of [{ automatic: false }, { languages: { python: false } }]) {
    editor.current = { ...SETTINGS, ...off };
    assert.ok(!hone.mayAsk(ASKED));
    assert.ok(hone.mayAsk({ ...ASKED, isInvoked: true }));
  }
});

test("snoozing ends by itself", async () => {
  const window = await opened();
  window.editor.answer = "5 minutes";
  await window.hone.snooze();
  assert.ok(!window.hone.mayAsk(ASKED));
  assert.equal(window.editor.kinds.at(-1), "snoozed");
  await window.editor.pass(5 * 60_000);
  assert.ok(window.hone.mayAsk(ASKED));
  assert.equal(window.editor.kinds.at(-1), "ready");
});

test("Esc on our suggestion is a refusal, told once", async () => {
  const window = await opened(consenting);
  await offer(window);
  assert.ok(window.editor.contexts.get("hone.offers"));
  await window.hone.suggestions.dismiss();
  await window.hone.suggestions.dismiss();
  const refusal = '{"candidate_index":0,"reason":"escape"}';
  assert.deepEqual(sent(window), [`hone/dismissed id-1 ${refusal}`]);
  assert.deepEqual(window.editor.ran, Array(2).fill("editor.action.inlineSuggest.hide"));
  assert.ok(!window.editor.contexts.get("hone.offers"));
});

test("Esc on ghost text of somebody else only hides it", async () => {
  const window = await opened(consenting);
  window.hone.asking(ASKED)([], true);
  await window.hone.suggestions.dismiss();
  await offer(window);
  window.editor.editor = { ...ACTIVE, caret: { ...AT, version: 2 } };
  await window.hone.suggestions.dismiss();
  assert.deepEqual(sent(window), []);
  assert.equal(window.editor.ran.length, 2);
});

test("an answer that came too late, or was left behind, was hidden", async () => {
  const window = await opened(consenting);
  await offer(window, false);
  await offer(window);
  window.editor.editor = undefined;
  window.hone.suggestions.moved();
  window.hone.suggestions.moved();
  assert.deepEqual(sent(window), Array(2).fill('hone/hidden id-1 {"candidate_index":0}'));
});

test("what nobody can see is off the screen, until it can be seen again", async () => {
  for (const away of [{ isInView: false }, { isFocused: false }]) {
    const window = await opened(consenting);
    await offer(window);
    for (const view of [away, away, {}, {}]) {
      window.editor.editor = { ...ACTIVE, ...view };
      window.hone.suggestions.moved();
    }
    assert.deepEqual(sent(window), [
      'hone/hidden id-1 {"candidate_index":0}',
      'hone/shown id-1 {"candidate_index":0,"again":true}',
    ]);
  }
});

test("an answer that comes while somebody is elsewhere was not seen", async () => {
  const window = await opened(consenting);
  window.editor.editor = { ...ACTIVE, isFocused: false };
  await offer(window);
  assert.deepEqual(sent(window), ['hone/hidden id-1 {"candidate_index":0}']);
});

test("a part that was taken is told with its length, all parts together", async () => {
  const window = await opened(consenting);
  const { editor, hone } = window;
  const take = (character: number, version: number, text: string, rest: string): void => {
    hone.suggestions.inserted({ at: { ...AT, character, version }, text });
    const caret = { ...AT, character: character + text.length, version };
    editor.editor = { ...ACTIVE, caret };
    hone.suggestions.moved();
    hone.asking({ ...ASKED, at: caret })([{ ...SUGGESTION, text: rest }], true);
  };
  hone.asking(ASKED)([SUGGESTION], true);
  take(4, 2, "return", " 1\n");
  take(10, 3, " 1", "\n");
  const item = { command: { arguments: ["id-1", 0] } };
  assert.deepEqual(
    window.servers.newest.sent.map(({ params }) => params),
    [6, 8].map((acceptedLength) => ({ item, acceptedLength })),
  );
});

test("brackets that close themselves are typed, not taken", async () => {
  const window = await opened(consenting);
  window.hone.asking(ASKED)([{ ...SUGGESTION, text: "(): pass" }], true);
  window.hone.suggestions.inserted({ at: { ...AT, version: 2 }, text: "()" });
  window.editor.editor = { ...ACTIVE, caret: { ...AT, version: 2, character: 5 } };
  window.hone.suggestions.moved();
  assert.deepEqual(sent(window), []);
});

test("with a pop-up open it suggests only where that is wanted", async () => {
  const { editor, hone } = await opened();
  const asked = { ...ASKED, isPopUpOpen: true };
  assert.ok(hone.mayAsk(asked));
  editor.current = { ...SETTINGS, besidePopUp: false };
  assert.ok(!hone.mayAsk(asked));
  assert.ok(hone.mayAsk(ASKED));
  assert.ok(hone.mayAsk({ ...asked, isInvoked: true }));
});

test("a list that opens covers what was offered, and what it inserts is no part of that", async () => {
  const window = await opened();
  await offer(window);
  window.hone.mayAsk({ ...ASKED, isPopUpOpen: true });
  assert.deepEqual(sent(window), ['hone/hidden id-1 {"candidate_index":0,"reason":"popup_open"}']);
  window.hone.asking({ ...ASKED, isPopUpOpen: true })([SUGGESTION], true);
  for (const isCovered of [false, true]) {
    if (isCovered) window.hone.mayAsk({ ...ASKED, isPopUpOpen: true });
    window.hone.suggestions.inserted({ at: { ...AT, version: 2 }, text: "return" });
    window.editor.editor = { ...ACTIVE, caret: { ...AT, version: 2, character: 10 } };
    window.hone.suggestions.moved();
    window.editor.editor = ACTIVE;
    assert.equal(sent(window).filter((one) => one.includes("Partially")).length, 0);
  }
});

test("accepted suggestions are counted for the day", async () => {
  const window = await opened();
  window.hone.accepted("id-1", 0);
  window.hone.accepted("id-2", 0);
  assert.equal(window.hone.suggestions.numAcceptedToday, 2);
  await window.editor.pass(86_400_000);
  assert.equal(window.hone.suggestions.numAcceptedToday, 0);
});

test("the last suggestion can be rated, and corrected by typing or selecting", async () => {
  const window = await opened(consenting);
  const { editor, hone } = window;
  await offer(window);
  await hone.say(() => hone.suggestions.rate("up"));
  editor.answer = "return 2⏎";
  await hone.say(() => hone.suggestions.correct());
  editor.answer = undefined;
  await hone.say(() => hone.suggestions.correct());
  assert.deepEqual(sent(window), [
    'hone/rated id-1 {"candidate_index":0,"rating":"up"}',
    'hone/rated id-1 {"candidate_index":0,"rating":"down","correction":"return 2\\n"}',
  ]);
});

test("a rating counts at once, and may be given a reason after it", async () => {
  const window = await opened(consenting);
  await offer(window);
  window.editor.answer = "Say Why";
  await window.hone.suggestions.rate("down");
  assert.deepEqual(sent(window), [
    'hone/rated id-1 {"candidate_index":0,"rating":"down"}',
    'hone/rated id-1 {"candidate_index":0,"rating":"down","comment":"Say Why"}',
  ]);
});
