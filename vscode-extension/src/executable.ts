// Turns a setting, PATH, workspace folders and our own installation into the `hone` program to start. It asks the disk only
// through the function it is given, and knows nothing of VS Code.
import * as path from "node:path";

export interface Places {
  readonly setting: string; // "" when not set
  readonly searchPath: string; // PATH, as the environment spells it
  readonly home: string;
  readonly folders: readonly string[];
  readonly isTrusted: boolean;
  readonly platform: NodeJS.Platform;
  readonly own?: string | undefined; // what this extension installed itself
}

export type Found =
  | { readonly command: string; readonly from: "setting" | "PATH" | ".venv" | "own" }
  | { readonly command: undefined; readonly problem: string };

const NOT_FOUND = "hone is not installed where this editor looks";

/** Return the program to start; a setting that names nothing is a problem, not a reason to guess. */
export function findHone(places: Places, isExecutable: (file: string) => boolean): Found {
  if (places.setting) {
    const command = expand(places.setting, places);
    return isExecutable(command)
      ? { command, from: "setting" }
      : { command: undefined, problem: `hone.executable names no program: ${command}` };
  }
  const onPath = namesIn(foldersOf(places), places).find(isExecutable);
  if (onPath) return { command: onPath, from: "PATH" };
  // Whoever wrote an untrusted workspace must not choose what is started on this machine.
  const nearby = places.isTrusted ? namesIn(environmentsOf(places), places).find(isExecutable) : "";
  if (nearby) return { command: nearby, from: ".venv" };
  const { own } = places;
  if (own && isExecutable(own)) return { command: own, from: "own" };
  return { command: undefined, problem: NOT_FOUND };
}

function expand(setting: string, places: Places): string {
  const paths = pathsOf(places);
  if (setting === "~" || /^~[\\/]/.test(setting)) return paths.join(places.home, setting.slice(1));
  if (paths.isAbsolute(setting)) return setting;
  return paths.resolve(places.folders[0] ?? places.home, setting);
}

function foldersOf(places: Places): string[] {
  const paths = pathsOf(places);
  // A relative entry of PATH would mean whatever folder happens to be current.
  return places.searchPath.split(paths.delimiter).filter((folder) => paths.isAbsolute(folder));
}

function environmentsOf(places: Places): string[] {
  const bin = places.platform === "win32" ? "Scripts" : "bin";
  return places.folders.map((folder) => pathsOf(places).join(folder, ".venv", bin));
}

function namesIn(folders: readonly string[], places: Places): string[] {
  const name = places.platform === "win32" ? "hone.exe" : "hone";
  return folders.map((folder) => pathsOf(places).join(folder, name));
}

function pathsOf(places: Places): path.PlatformPath {
  return places.platform === "win32" ? path.win32 : path.posix;
}
