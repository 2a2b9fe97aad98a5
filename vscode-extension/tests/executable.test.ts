import assert from "node:assert/strict";
import { test } from "node:test";
import { findHone, type Places } from "../src/executable";

const PLACES: Places = {
  setting: "",
  searchPath: "/usr/bin:relative::/opt/bin",
  home: "/home/ada",
  folders: ["/src/one", "/src/two"],
  isTrusted: true,
  platform: "linux",
};

function check(places: Partial<Places>, programs: string[], expected: string | undefined): void {
  const found = findHone({ ...PLACES, ...places }, (file) => programs.includes(file));
  assert.equal(found.command, expected);
}

test("the setting wins, then PATH, then a workspace folder's .venv", () => {
  const all = ["/my/hone", "/opt/bin/hone", "/src/two/.venv/bin/hone"];
  check({ setting: "/my/hone" }, all, "/my/hone");
  check({}, all, "/opt/bin/hone");
  check({}, all.slice(2), "/src/two/.venv/bin/hone");
  check({}, [], undefined);
});

test("what this extension installed is the last resort", () => {
  const own = "/storage/environment/bin/hone";
  check({ own }, [own], own);
  check({ own }, [own, "/opt/bin/hone"], "/opt/bin/hone");
  check({ own }, [], undefined);
  check({ own, isTrusted: false }, [own], own);
});

test("a setting that names no program is told, not passed over", () => {
  const found = findHone({ ...PLACES, setting: "/typo" }, (file) => file === "/opt/bin/hone");
  assert.deepEqual(found, {
    command: undefined,
    problem: "hone.executable names no program: /typo",
  });
});

test("a setting may start at home or at the first folder", () => {
  check({ setting: "~/bin/hone" }, ["/home/ada/bin/hone"], "/home/ada/bin/hone");
  check({ setting: "tools/hone" }, ["/src/one/tools/hone"], "/src/one/tools/hone");
  check({ setting: "hone", folders: [] }, ["/home/ada/hone"], "/home/ada/hone");
});

test("nothing inside an untrusted workspace is started", () => {
  check({ isTrusted: false }, ["/src/one/.venv/bin/hone"], undefined);
});

test("an entry of PATH that is relative is passed over", () => {
  check({}, ["relative/hone", "hone", "/hone"], undefined);
});

test("Windows has other names for the same places", () => {
  const windows: Partial<Places> = {
    platform: "win32",
    searchPath: "C:\\bin;D:\\tools",
    folders: ["C:\\src"],
    home: "C:\\Users\\Ada",
  };
  check(windows, ["D:\\tools\\hone.exe"], "D:\\tools\\hone.exe");
  check(windows, ["C:\\src\\.venv\\Scripts\\hone.exe"], "C:\\src\\.venv\\Scripts\\hone.exe");
  const setting = "~\\hone.exe";
  check({ ...windows, setting }, ["C:\\Users\\Ada\\hone.exe"], "C:\\Users\\Ada\\hone.exe");
});
