// Turns PATH into a Python that can make environments and is new enough for Hone.
import { existsSync } from "node:fs";
import * as path from "node:path";
import { run } from "./processes";

const OLDEST = [3, 11] as const;
const NEWEST_MINOR = 14;
// Debian splits venv and ensurepip off: a Python without them cannot make an environment.
const ASK = "import sys, ensurepip, venv; print('%d %d' % sys.version_info[:2])";

/** Return the first fit Python on PATH; rejects with what was looked at, and what to do. */
export async function findPython(
  searchPath: string,
  platform: NodeJS.Platform,
  signal?: AbortSignal,
): Promise<string> {
  const seen: string[] = [];
  for (const python of candidates(searchPath, platform).filter(existsSync)) {
    const { code, lastLine } = await run(python, ["-I", "-c", ASK], undefined, signal);
    if (signal?.aborted) throw new Error("cancelled");
    if (code === 0 && isNewEnough(lastLine)) return python;
    seen.push(`${python}: ${code === 0 ? `Python ${lastLine}` : lastLine}`);
  }
  const why = seen.length > 0 ? ` (${seen.slice(0, 3).join("; ")})` : "";
  throw new Error(
    `no Python ${OLDEST.join(".")} or newer with venv is on PATH${why}: install one, or name a ` +
      "hone of your own with hone.executable",
  );
}

/** Return the programs that may be Python, the newest version first. */
export function candidates(searchPath: string, platform: NodeJS.Platform): string[] {
  const paths = platform === "win32" ? path.win32 : path.posix;
  const folders = searchPath.split(paths.delimiter).filter((folder) => paths.isAbsolute(folder));
  const names = platform === "win32" ? ["python.exe", "python3.exe"] : [...versioned(), "python3"];
  return names.flatMap((name) => folders.map((folder) => paths.join(folder, name)));
}

function versioned(): string[] {
  const [major, oldest] = OLDEST;
  const minors = Array.from({ length: NEWEST_MINOR - oldest + 1 }, (_, n) => NEWEST_MINOR - n);
  return minors.map((minor) => `python${major}.${minor}`);
}

function isNewEnough(answer: string): boolean {
  const [major = 0, minor = 0] = answer.split(" ").map(Number);
  return major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1]);
}
