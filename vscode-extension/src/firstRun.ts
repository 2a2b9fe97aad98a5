// Turns "there is no hone" and "no host answers" into offers to do something about it: each at most
// once in a window, and never again once somebody said no. Knows nothing of servers or their states.
import { afterAsking, consentOf, shouldAsk } from "./consent";
import type { Editor } from "./editor";
import type { Installing, Parts } from "./installation";
import { DEFAULT_URL, originOf } from "./launch";

const INSTALL = "offer to install"; // answers are kept for the person
const START = "offer to start a host";
const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** What stands between a fresh editor and the first suggestion. */
export class FirstRun {
  private readonly wasAsked = new Set<string>();
  private installing: Promise<boolean> | undefined;

  constructor(
    private readonly editor: Editor,
    private readonly installation: Installing,
  ) {}

  get canInstall(): boolean {
    return this.installation.canInstall;
  }

  /** Return the `hone` to start, or why there is none. */
  find(): { command?: string; problem?: string } {
    const { executable } = this.editor.settings();
    return this.editor.findProgram(executable, this.installation.program);
  }

  /** Bring our own installation up to this extension; what cannot be updated is used as it is. */
  async update(): Promise<void> {
    const isUsed = this.find().command === this.installation.program;
    if (!isUsed || !this.installation.isOutdated) return;
    const parts = (await this.installation.hasHost()) ? "host" : "editor";
    await this.install(parts, "Updating Hone");
  }

  /** Offer to install the editor side, if somebody may still want that; true once it is there. */
  async offerInstall(): Promise<boolean> {
    if (!this.canInstall) return false;
    const message =
      "Hone's editor side is not installed. Install it into an environment of its own, " +
      "about 60 MB, without touching any other Python?";
    return (await this.offer(INSTALL, message, "Install")) && this.install("editor");
  }

  /** Install what is asked for, one installation at a time; true once it is there. */
  install(parts: Parts, title = "Installing Hone"): Promise<boolean> {
    this.installing ??= this.installNow(parts, title).finally(() => {
      this.installing = undefined;
    });
    return this.installing;
  }

  /** Offer to start a host on this machine, where one is expected and none was ever seen. */
  async offerHost(url: string): Promise<void> {
    if (!isLoopback(url)) return;
    const message = `No Hone host answers at ${originOf(url)}. Start one on this machine?`;
    if (await this.offer(START, message, "Start a Host")) await this.startHost(url);
  }

  /** Start `hone up` in a terminal, after installing the host side where that is ours to do. */
  async startHost(url: string): Promise<void> {
    const { command, problem } = this.find();
    if (command === undefined) {
      this.editor.tell(`Hone: ${problem ?? ""}`);
      return;
    }
    if (command === this.installation.program && !(await this.installation.hasHost())) {
      const message =
        "A host needs PyTorch and more, up to 5 GB. Install that into Hone's own environment?";
      if ((await this.editor.ask(message, ["Install"])) !== "Install") return;
      if (!(await this.install("host", "Installing Hone's host side"))) return;
    }
    this.editor.runInTerminal(command, ["up", ...placeOf(url)]);
  }

  private async installNow(parts: Parts, title: string): Promise<boolean> {
    try {
      await this.editor.progress(title, (report, signal) => {
        const log = (line: string): void => {
          this.editor.log(line);
        };
        return this.installation.install(parts, { report, log, signal });
      });
      return true;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.editor.log(`${title} did not succeed: ${reason}`);
      if (reason === "cancelled") return false;
      const show = "Show Log";
      const answer = await this.editor.ask(`${title} did not succeed: ${reason}`, [show]);
      if (answer === show) await this.editor.run("hone.showLog");
      return false;
    }
  }

  private async offer(name: string, message: string, yes: string): Promise<boolean> {
    const kept = consentOf(this.editor.forPerson.get(name));
    if (!shouldAsk(kept, this.wasAsked.has(name))) return false;
    this.wasAsked.add(name);
    const answer = await this.editor.ask(message, [yes, "Not Now", "More"]);
    if (answer === "More") await this.editor.run("hone.explain");
    // Who said yes is asked again should it be gone one day.
    const choice = answer === "Not Now" ? "no" : "closed";
    const numAsked = answer === yes ? 0 : afterAsking(kept, choice).numAsked;
    this.editor.forPerson.set(name, { ...afterAsking(kept, choice), numAsked });
    return answer === yes;
  }
}

/** Return the flags that make a host listen where it is looked for, as far as that is here. */
function placeOf(url: string): string[] {
  const port = isLoopback(url) ? new URL(originOf(url)).port : "";
  return port && port !== new URL(DEFAULT_URL).port ? ["--port", port] : [];
}

function isLoopback(url: string): boolean {
  try {
    return LOOPBACK.has(new URL(originOf(url)).hostname);
  } catch {
    return false;
  }
}
