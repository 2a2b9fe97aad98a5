// Bundles the extension into dist/extension.js, or with `tests` each test file into dist/tests.
import { readdirSync, rmSync, statSync } from "node:fs";
import { build } from "esbuild";

const MAX_BYTES = 1_500_000; // what is loaded slows every start of the editor

const common = {
  bundle: true,
  platform: "node",
  target: "node20",
  format: "cjs",
  external: ["vscode"],
  logLevel: "warning",
};

if (process.argv.includes("tests")) {
  rmSync("dist/tests", { recursive: true, force: true });
  const tests = readdirSync("tests").filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: tests.map((name) => `tests/${name}`),
    outdir: "dist/tests",
    sourcemap: "inline",
  });
} else {
  const bundle = { ...common, outdir: "dist", minify: true };
  await build({
    ...bundle,
    entryPoints: ["src/extension.ts"],
    // Loaded when a server is started, and by `require`, which every editor's host can do.
    external: [...common.external, "./server.js"],
    supported: { "dynamic-import": false },
    // How long activation takes begins with reading this file.
    banner: { js: "var honeLoadingMs=performance.now();" },
  });
  await build({
    ...bundle,
    entryPoints: ["src/server.ts"],
    // The language client ships ES modules beside CommonJS; one of them is enough.
    mainFields: ["module", "main"],
  });
  const size = statSync("dist/extension.js").size + statSync("dist/server.js").size;
  if (size > MAX_BYTES) throw new Error(`the bundle has ${size} bytes, more than ${MAX_BYTES}`);
}
