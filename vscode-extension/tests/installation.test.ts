// A real environment from a real wheel, small enough to need nothing from anywhere.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test, type TestContext } from "node:test";
import { Installation, type Progress } from "../src/installation";
import { run } from "../src/processes";
import { candidates, findPython } from "../src/python";

const PATH = process.env["PATH"] ?? "";
const FOLDER = mkdtempSync(join(tmpdir(), "hone-installation-"));
const WHEEL = join(FOLDER, "hone-0.1.0-py3-none-any.whl");
const MAKE_WHEEL = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("hone.py", f"def main():\\n    print('hone 0.1.0 {sys.argv[2]}')\\n")
    info = "hone-0.1.0.dist-info/"
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: hone\\nVersion: 0.1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "entry_points.txt", "[console_scripts]\\nhone = hone:main\\n")
    wheel.writestr(info + "RECORD", "")
`;

after(() => {
  rmSync(FOLDER, { recursive: true, force: true });
});

function progress(
  abort = new AbortController(),
): Progress & { reports: string[]; lines: string[] } {
  const reports: string[] = [];
  const lines: string[] = [];
  return {
    reports,
    lines,
    signal: abort.signal,
    report: (message) => reports.push(message),
    log: (line) => lines.push(line),
  };
}

/** Make the wheel print `what`; false, with the test skipped, where there is no Python for it. */
async function pack(context: TestContext, what: string): Promise<boolean> {
  const python = await findPython(PATH, process.platform).catch((error: unknown) => {
    context.skip(String(error));
  });
  if (!python) return false;
  const made = await run(python, ["-c", MAKE_WHEEL, WHEEL, what]);
  assert.equal(made.code, 0, made.lastLine);
  return true;
}

test("a wheel becomes a program, and another wheel another program", async (context) => {
  const storage = join(FOLDER, "a folder");
  if (!(await pack(context, "one"))) return;
  const installation = new Installation(storage, WHEEL, PATH);
  assert.equal(installation.program, undefined);
  const seen = progress();
  await installation.install("editor", seen);
  assert.deepEqual(await run(new Installation(storage, WHEEL, PATH).program ?? "", []), {
    code: 0,
    lastLine: "hone 0.1.0 one",
  });
  assert.ok(seen.reports.includes("making an environment"));
  assert.ok(!installation.isOutdated);
  assert.equal(await installation.hasHost(), false);
  await pack(context, "two, of the same version");
  const later = new Installation(storage, WHEEL, PATH);
  assert.ok(later.isOutdated);
  await later.install("editor", progress());
  assert.match((await run(later.program ?? "", [])).lastLine, /two/);
  assert.ok(!later.isOutdated);
});

test("what fails or is cancelled is not there, and can be tried again", async (context) => {
  if (!(await pack(context, "any"))) return;
  const broken = join(FOLDER, "hone-9-py3-none-any.whl");
  writeFileSync(broken, "this is no wheel");
  const storage = join(FOLDER, "broken");
  await assert.rejects(new Installation(storage, broken, PATH).install("editor", progress()));
  const abort = new AbortController();
  abort.abort();
  const installation = new Installation(storage, WHEEL, PATH);
  await assert.rejects(installation.install("editor", progress(abort)), /cancelled/);
  assert.equal(installation.program, undefined);
});

test("two windows do not install at once", async () => {
  const storage = join(FOLDER, "busy");
  mkdirSync(join(storage, "installing"), { recursive: true });
  const installation = new Installation(storage, WHEEL, PATH);
  await assert.rejects(installation.install("editor", progress()), /another window/);
});

test("without a wheel or a Python it says what is missing", async () => {
  const storage = join(FOLDER, "none");
  const bare = new Installation(storage, undefined, PATH);
  assert.ok(!bare.canInstall && !bare.isOutdated);
  await assert.rejects(bare.install("editor", progress()), /without hone's wheel/);
  const lonely = new Installation(storage, WHEEL, "/nowhere");
  await assert.rejects(lonely.install("editor", progress()), /no Python 3\.11.*hone\.executable/);
});

test("a Python that is too old, or cannot make environments, is passed over", async () => {
  const bin = join(FOLDER, "bin");
  mkdirSync(bin);
  const old = "#!/bin/sh\necho 3 10\n";
  writeFileSync(join(bin, "python3"), old, { mode: 0o755 });
  writeFileSync(join(bin, "python3.12"), "#!/bin/sh\necho no ensurepip >&2\nexit 1\n", {
    mode: 0o755,
  });
  await assert.rejects(findPython(bin, "linux"), /python3\.12: no ensurepip; .*Python 3 10/);
  writeFileSync(join(bin, "python3.13"), "#!/bin/sh\necho 3 13\n", { mode: 0o755 });
  assert.equal(await findPython(bin, "linux"), join(bin, "python3.13"));
});

test("the newest version comes first, and only absolute entries of PATH count", () => {
  const found = candidates("/a:relative:/b", "linux");
  assert.deepEqual(found.slice(0, 2), ["/a/python3.14", "/b/python3.14"]);
  assert.equal(found.at(-1), "/b/python3");
  assert.ok(found.every((one) => one.startsWith("/")));
  assert.deepEqual(candidates("C:\\p", "win32")[0], "C:\\p\\python.exe");
});
