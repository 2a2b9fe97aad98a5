// What a fresh editor is offered, when, and how often.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Hone } from "../src/hone";
import { hostOf } from "../src/host";
import { FakeEditor, FakeInstallation, FakeServers, READY, rest, SETTINGS } from "./fakes";

const AWAY = hostOf({ state: "offline", reason: "nothing answers", trouble: "unreachable" });

class Window {
  readonly editor: FakeEditor;
  readonly servers = new FakeServers();
  readonly installation = new FakeInstallation();
  hone: Hone;

  constructor(editor = new FakeEditor()) {
    this.editor = editor;
    this.hone = this.reopened();
  }

  /** Open another window of the same person. */
  reopened(): Hone {
    this.hone = new Hone(this.editor, this.servers.make, this.installation);
    return this.hone;
  }

  async begin(answer?: string): Promise<this> {
    this.editor.answer = answer;
    await this.hone.refresh();
    await rest();
    await this.hone.refresh();
    return this;
  }
}

function empty(): Window {
  const window = new Window();
  window.editor.program = { problem: "not installed" };
  return window;
}

test("where there is no hone it offers to install one, and starts it", async () => {
  const window = await empty().begin("Install");
  assert.deepEqual(window.installation.installed, ["editor"]);
  assert.equal(window.servers.newest.launch.command, "/own/hone");
  assert.ok(window.editor.contexts.get("hone.found"));
});

test("not now is an answer for good, closing the question for this window", async () => {
  const refusing = await empty().begin("Not Now");
  refusing.reopened();
  await refusing.begin("Install");
  assert.equal(refusing.editor.questions.length, 1);
  const closing = await empty().begin();
  assert.equal(closing.editor.questions.length, 1, "not once more in this window");
  closing.reopened();
  await closing.begin("Install");
  assert.equal(closing.servers.numRunning, 1);
});

test("the command installs whatever was answered before", async () => {
  const window = await empty().begin("Not Now");
  await window.hone.install();
  assert.equal(window.servers.numRunning, 1);
});

test("a setting that names nothing is not answered by installing something else", async () => {
  const window = empty();
  window.editor.current = { ...SETTINGS, executable: "/typo" };
  await window.begin("Install");
  assert.deepEqual(window.editor.questions, []);
});

test("an extension without the wheel offers nothing", async () => {
  const window = empty();
  window.installation.canInstall = false;
  await window.begin("Install");
  assert.deepEqual(window.editor.questions, []);
});

test("an installation that fails is told once, with the log", async () => {
  const window = empty();
  window.installation.trouble = "no Python 3.11 or newer";
  await window.begin("Install");
  assert.equal(window.editor.questions.length, 2);
  assert.match(window.editor.questions[1] ?? "", /did not succeed: no Python 3\.11/);
  assert.equal(window.servers.numRunning, 0);
  window.installation.trouble = "cancelled";
  await window.hone.install();
  assert.equal(window.editor.questions.length, 2, "who cancels knows it");
});

test("what an older extension installed is brought up to date, host side and all", async () => {
  for (const host of [false, true]) {
    const window = empty();
    Object.assign(window.installation, { program: "/own/hone", isOutdated: true, host });
    await window.begin();
    assert.deepEqual(window.installation.installed, [host ? "host" : "editor"]);
    assert.equal(window.servers.numRunning, 1);
  }
});

test("an update that fails leaves the old one to be used", async () => {
  const window = empty();
  const trouble = "no network";
  Object.assign(window.installation, { program: "/own/hone", isOutdated: true, trouble });
  await window.begin();
  assert.equal(window.servers.numRunning, 1);
});

test("somebody else's hone is never updated", async () => {
  const window = new Window();
  Object.assign(window.installation, { program: "/own/hone", isOutdated: true });
  await window.begin();
  assert.deepEqual(window.installation.installed, []);
});

test("where no host was ever seen it offers to start one, once", async () => {
  const window = await new Window().begin();
  window.editor.answer = "Start a Host";
  for (let times = 0; times < 3; times++) window.hone.host(AWAY);
  await rest();
  assert.deepEqual(window.editor.terminals, ["/bin/hone up"]);
  assert.equal(window.editor.questions.length, 1);
});

test("a host is started where it will be looked for", async () => {
  for (const [url, flags] of [
    ["http://localhost:9000/", " --port 9000"],
    ["http://gpu.example:9000", ""],
    ["", ""],
  ] as const) {
    const window = new Window();
    window.editor.current = { ...SETTINGS, url };
    await window.begin();
    await window.hone.startHost();
    assert.deepEqual(window.editor.terminals, [`/bin/hone up${flags}`]);
  }
});

test("where the server asks goes before what our setting says", async () => {
  const far = await new Window().begin("Start a Host");
  far.hone.host({ ...AWAY, url: "http://gpu.example:8750" });
  await rest();
  assert.deepEqual(far.editor.questions, []);
  const near = await new Window().begin("Start a Host");
  near.hone.host({ ...AWAY, url: "http://127.0.0.1:9000" });
  await rest();
  assert.match(near.editor.questions[0] ?? "", /127\.0\.0\.1:9000/);
  assert.deepEqual(near.editor.terminals, ["/bin/hone up --port 9000"]);
});

test("a host that was there before, or is elsewhere, is not replaced by another", async () => {
  const known = await new Window().begin("Start a Host");
  known.hone.host(READY);
  known.hone.host(AWAY);
  const far = new Window();
  far.editor.current = { ...SETTINGS, url: "http://gpu.example:8750" };
  await far.begin("Start a Host");
  far.hone.host(AWAY);
  const busy = await new Window().begin("Start a Host");
  busy.hone.host({ ...AWAY, trouble: "slow" });
  await rest();
  assert.deepEqual(
    [known, far, busy].flatMap((one) => one.editor.questions),
    [],
  );
});

test("our own hone gets its host side first, if that is wanted", async () => {
  const window = empty();
  window.installation.program = "/own/hone";
  await window.begin();
  await window.hone.startHost();
  assert.deepEqual(window.editor.terminals, []);
  window.editor.answer = "Install";
  await window.hone.startHost();
  await window.hone.startHost();
  assert.deepEqual(window.installation.installed, ["host"]);
  assert.deepEqual(window.editor.terminals, ["/own/hone up", "/own/hone up"]);
});
