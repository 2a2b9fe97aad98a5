import assert from "node:assert/strict";
import { test } from "node:test";
import { isSame, launchOf, reviewPage, tokenName, type Wishes } from "../src/launch";

const WISHES: Wishes = {
  command: "/bin/hone",
  url: "",
  token: undefined,
  numCandidates: 0,
  exclude: [],
  record: false,
  trace: false,
};

test("what is not wished for is left to hone.toml", () => {
  assert.deepEqual(launchOf(WISHES), {
    command: "/bin/hone",
    args: ["lsp"],
    environment: {},
    options: { hone: { record: false, acceptCommand: true, exclude: [], trace: false } },
  });
});

test("address, token and candidates travel by environment, never as arguments", () => {
  const launch = launchOf({ ...WISHES, url: "http://gpu:1", token: "s3cret", numCandidates: 3 });
  assert.deepEqual(launch.environment, {
    HONE_URL: "http://gpu:1",
    HONE_TOKEN: "s3cret",
    HONE_EDITOR__NUM_CANDIDATES: "3",
  });
  assert.deepEqual(launch.args, ["lsp"]);
  assert.ok(!JSON.stringify(launch.options).includes("s3cret"));
});

test("only what changes the server asks for another one", () => {
  assert.ok(isSame(launchOf(WISHES), launchOf({ ...WISHES })));
  for (const change of [
    { record: true },
    { trace: true },
    { exclude: ["*.sql"] },
    { token: "t" },
    { url: "u" },
  ]) {
    assert.ok(!isSame(launchOf(WISHES), launchOf({ ...WISHES, ...change })));
  }
});

test("a token belongs to one address, however it is spelled", () => {
  assert.equal(tokenName("http://gpu:1/"), tokenName("http://gpu:1"));
  assert.notEqual(tokenName("http://gpu:1"), tokenName("http://elsewhere:1"));
  assert.notEqual(tokenName("http://gpu:1"), tokenName("https://gpu:1"));
});

test("the review page lies on the host", () => {
  assert.equal(reviewPage("http://gpu:1/"), "http://gpu:1/admin");
  assert.equal(reviewPage(""), "http://127.0.0.1:8750/admin");
});
