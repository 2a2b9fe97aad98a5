// Turns a command into its exit and its lines, as they come. Knows nothing of what is started.
import { spawn } from "node:child_process";
import { homedir } from "node:os";
import { createInterface } from "node:readline";

export interface Ended {
  readonly code: number; // 0 when all went well; -1 when it could not even start
  readonly lastLine: string; // of what it said, "" when it said nothing
}

/** Run a program without a shell until it ends or is aborted. Never rejects. */
export function run(
  command: string,
  args: readonly string[],
  onLine: (line: string) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Ended> {
  return new Promise((resolve) => {
    let lastLine = "";
    const heard = (line: string): void => {
      if (!line.trim()) return;
      lastLine = line.trim();
      onLine(line);
    };
    // Nothing in the folder that happens to be open may bear on how the program starts.
    const options = { cwd: homedir(), windowsHide: true, ...(signal ? { signal } : {}) };
    const child = spawn(command, [...args], { ...options, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", heard);
    }
    child.on("error", (error) => {
      resolve({ code: -1, lastLine: error.message });
    });
    child.on("close", (code) => {
      resolve({ code: code ?? -1, lastLine });
    });
  });
}
