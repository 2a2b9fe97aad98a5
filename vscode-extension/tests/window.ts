// A window with the extension in it, in which everything but VS Code and the server is real.
import type { ActiveEditor, Asked } from "../src/editor";
import { Hone } from "../src/hone";
import type { Host } from "../src/host";
import { FakeEditor, FakeInstallation, FakeServers, READY, rest } from "./fakes";

export const AT = { uri: "file:///a.py", version: 1, line: 0, character: 4 };
export const ASKED: Asked = { at: AT, language: "python", isInvoked: false, isPopUpOpen: false };
export const ACTIVE: ActiveEditor = {
  caret: AT,
  language: "python",
  selected: "",
  isInView: true,
  isFocused: true,
};
export const SUGGESTION = { completionId: "id-1", candidateIndex: 0, text: "return 1\n" };
export const OFFLINE: Host = {
  ...READY,
  state: "offline",
  reason: "nothing answers",
  trouble: "unreachable",
};
export interface Window {
  editor: FakeEditor;
  servers: FakeServers;
  installation: FakeInstallation;
  hone: Hone;
}

export async function opened(prepare: (window: Window) => void = () => undefined): Promise<Window> {
  const editor = new FakeEditor();
  const servers = new FakeServers();
  const installation = new FakeInstallation();
  const hone = new Hone(editor, servers.make, installation);
  const window = { editor, servers, installation, hone };
  editor.editor = ACTIVE;
  prepare(window);
  await window.hone.refresh();
  if (servers.numRunning) window.hone.host(READY);
  return window;
}

export function consenting({ editor }: Window): void {
  editor.forWorkspace.set("consent", { answer: "yes", numAsked: 1 });
}

export async function offer(window: Window, isWanted = true): Promise<void> {
  window.hone.asking(ASKED)([SUGGESTION], isWanted);
  await rest();
}

export function sent({ servers }: Window): string[] {
  return servers.newest.sent.map(({ method, params }) => {
    const { completion_id: id, ...facts } = params;
    return `${method} ${String(id)} ${JSON.stringify(facts)}`;
  });
}
