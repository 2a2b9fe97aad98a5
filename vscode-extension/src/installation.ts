// Turns the wheel that the extension brings into a `hone` in an environment of its own, in a folder
// that no workspace reaches. Knows nothing of VS Code, and not when to install.
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { run } from "./processes";
import { findPython } from "./python";

export type Parts = "editor" | "host"; // the host side is PyTorch and all that serves and trains

/** How an installation tells where it stands. */
export interface Progress {
  readonly report: (message: string) => void;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface Installing {
  readonly canInstall: boolean;
  readonly program: string | undefined; // once it is complete
  readonly isOutdated: boolean; // another wheel was installed than the one that is here now
  hasHost(): Promise<boolean>;
  /** Install, or bring up to date what is there. Rejects with what went wrong. */
  install(parts: Parts, progress: Progress): Promise<void>;
}

/** An environment below `folder`, filled from the only wheel in `wheels`. */
export class Installation implements Installing {
  private readonly environment: string;
  private readonly stamp: string;

  constructor(
    private readonly folder: string,
    private readonly wheel: string | undefined,
    private readonly searchPath: string,
    private readonly platform: NodeJS.Platform = process.platform,
  ) {
    this.environment = path.join(folder, "environment");
    // Written last: without it the environment is half made, and made anew.
    this.stamp = path.join(folder, "installed");
  }

  get canInstall(): boolean {
    return this.wheel !== undefined;
  }

  get program(): string | undefined {
    return existsSync(this.stamp) ? this.inEnvironment("hone") : undefined;
  }

  get isOutdated(): boolean {
    return this.canInstall && existsSync(this.stamp) && this.installed() !== this.fingerprint();
  }

  async hasHost(): Promise<boolean> {
    const find = "import importlib.util as u, sys; sys.exit(not u.find_spec('torch'))";
    return (await run(this.inEnvironment("python"), ["-I", "-c", find])).code === 0;
  }

  async install(parts: Parts, progress: Progress): Promise<void> {
    if (this.wheel === undefined) throw new Error("this extension was built without hone's wheel");
    const release = this.lock();
    try {
      const isThere = existsSync(this.stamp);
      if (!isThere) await this.makeEnvironment(progress);
      const needed = parts === "host" ? `${this.wheel}[host]` : this.wheel;
      await this.pip(["--upgrade", needed], progress);
      // The same version may hold other code; pip would leave it as it is.
      if (isThere) await this.pip(["--force-reinstall", "--no-deps", this.wheel], progress);
      progress.report("checking it");
      await this.must(this.inEnvironment("hone"), ["--version"], progress);
      writeFileSync(this.stamp, this.fingerprint());
    } finally {
      release();
    }
  }

  private async makeEnvironment(progress: Progress): Promise<void> {
    progress.report("looking for Python");
    const python = await findPython(this.searchPath, this.platform, progress.signal);
    progress.log(`hone is installed into ${this.environment} with ${python}`);
    progress.report("making an environment");
    rmSync(this.environment, { recursive: true, force: true });
    await this.must(python, ["-I", "-m", "venv", this.environment], progress);
  }

  private async pip(args: readonly string[], progress: Progress): Promise<void> {
    const pip = ["-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check"];
    const quiet = ["--progress-bar", "off"];
    await this.must(this.inEnvironment("python"), [...pip, ...quiet, ...args], progress);
  }

  private async must(command: string, args: string[], progress: Progress): Promise<void> {
    const heard = (line: string): void => {
      progress.log(line);
      const [, step] = /^((?:Collecting|Downloading|Installing) \S+)/.exec(line.trim()) ?? [];
      if (step) progress.report(step);
    };
    const { code, lastLine } = await run(command, args, heard, progress.signal);
    if (progress.signal.aborted) throw new Error("cancelled");
    if (code !== 0) throw new Error(lastLine || `${command} ended with code ${code}`);
  }

  private inEnvironment(name: string): string {
    return this.platform === "win32"
      ? path.join(this.environment, "Scripts", `${name}.exe`)
      : path.join(this.environment, "bin", name);
  }

  private installed(): string {
    return readFileSync(this.stamp, "utf8");
  }

  /** Tell one wheel from another without reading its megabytes at every start. */
  private fingerprint(): string {
    const { size, mtimeMs } = statSync(this.wheel ?? "");
    return `${path.basename(this.wheel ?? "")} ${size} ${Math.round(mtimeMs)}`;
  }

  /** Keep other windows out; a lock that was left behind by a killed one counts no more. */
  private lock(): () => void {
    const lock = path.join(this.folder, "installing");
    mkdirSync(this.folder, { recursive: true });
    const isOld = existsSync(lock) && Date.now() - statSync(lock).mtimeMs > STALE_LOCK_MS;
    if (isOld) rmSync(lock, { recursive: true, force: true });
    try {
      mkdirSync(lock);
    } catch {
      throw new Error("another window installs it just now");
    }
    return () => {
      rmSync(lock, { recursive: true, force: true });
    };
  }
}

const STALE_LOCK_MS = 30 * 60_000;
