// Turns a `Launch` into a language server over stdio and its messages into calls of a `Listener`. The
// only file that knows vscode-languageclient. It never shows anything: what goes wrong is logged,
// and told once to the listener, which decides.
import { homedir } from "node:os";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type {
  CancellationToken,
  InlineCompletionContext,
  InlineCompletionItem,
  InlineCompletionList,
  LogOutputChannel,
  Position,
  TextDocument,
} from "vscode";
import { InlineCompletionTriggerKind } from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import type { Asked, Listener, Server } from "./editor";
import type { Message } from "./feedback";
import { hostOf } from "./host";
import type { Launch } from "./launch";
import { leavingLine, logLineOf } from "./logLines";
import type { Suggestion } from "./offers";

const ACCEPT_COMMAND = "hone.accepted"; // the server registers it; items carry it
const START_MS = 20_000;
const STOP_MS = 3_000; // the server may deliver feedback for two seconds

/** A language server as a child process. */
export class StdioServer implements Server {
  private readonly client: QuietClient;
  private isUp = false;
  private lastLine = ""; // of its log: when it does not even start, that is why
  private failStart: (error: Error) => void = () => undefined;

  constructor(
    launch: Launch,
    private readonly listener: Listener,
    private readonly log: LogOutputChannel,
  ) {
    const environment = { ...process.env, ...launch.environment };
    // Nothing in the folder that happens to be open may bear on how the program starts.
    const options = { env: environment, cwd: homedir() };
    const executable = { command: launch.command, args: [...launch.args], options };
    this.client = new QuietClient("hone", "Hone", executable, this.options(launch));
    this.client.onNotification("hone/status", (params: unknown) => {
      listener.host(hostOf(params));
    });
    this.client.onNotification("hone/leaving", (record: unknown) => {
      log.info(leavingLine(record));
    });
    this.client.onNotification("hone/excluded", (params: { uri: string; reason?: string }) => {
      // The server spells URIs as it was told; they are compared as VS Code spells them.
      listener.excluded(
        this.client.protocol2CodeConverter.asUri(params.uri).toString(),
        params.reason ?? "",
      );
    });
  }

  async start(): Promise<string | undefined> {
    const gone = new Promise<never>((_, reject) => {
      this.failStart = reject;
    });
    const timer = setTimeout(() => {
      this.failStart(new Error(`hone lsp did not answer within ${START_MS / 1000} s`));
    }, START_MS);
    try {
      await Promise.race([this.client.start(), gone]);
    } finally {
      clearTimeout(timer);
    }
    this.isUp = true;
    return this.client.initializeResult?.serverInfo?.version;
  }

  async stop(): Promise<void> {
    this.isUp = false;
    try {
      await this.client.dispose(STOP_MS);
    } catch (error) {
      this.log.info(`the language server ended in its own way: ${String(error)}`);
    }
  }

  send(message: Message): void {
    if (!this.isUp) return;
    this.client.sendNotification(message.method, message.params).catch((error: unknown) => {
      this.log.warn(`${message.method} was not sent: ${String(error)}`);
    });
  }

  ask(method: string): Promise<unknown> {
    return this.isUp ? this.client.sendRequest(method, {}) : Promise.resolve(undefined);
  }

  private options(launch: Launch): LanguageClientOptions {
    return {
      documentSelector: [
        { scheme: "file" },
        { scheme: "untitled" },
        { scheme: "vscode-notebook-cell" },
      ],
      initializationOptions: launch.options,
      outputChannel: this.log,
      stdioOptions: {
        stdout: (lines) => {
          this.read(lines);
        },
        stderr: (lines) => {
          this.read(lines);
        },
      },
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.closed();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: this.middleware(),
    };
  }

  private closed(): void {
    const wasUp = this.isUp;
    this.isUp = false;
    this.failStart(new Error(`it ended at once: ${this.lastLine || "without a word"}`));
    if (wasUp) this.listener.ended("it ended by itself");
  }

  private read(lines: Readable): void {
    createInterface({ input: lines }).on("line", (line) => {
      const { level, text } = logLineOf(line);
      if (text.trim()) this.lastLine = text;
      this.log[level](text);
    });
  }

  private middleware(): Middleware {
    return {
      provideInlineCompletionItems: async (document, position, context, token, next) => {
        const asked = askedOf(document, position, context);
        if (!this.listener.mayAsk(asked)) return [];
        const answered = this.listener.asking(asked);
        let suggestions: Suggestion[] = [];
        try {
          const result = await next(document, position, context, token);
          suggestions = suggestionsOf(result);
          return result;
        } finally {
          answered(suggestions, isWanted(token));
        }
      },
      executeCommand: async (command, args: unknown[], next) => {
        const [id, index] = args;
        if (command === ACCEPT_COMMAND && typeof id === "string") {
          this.listener.accepted(id, typeof index === "number" ? index : 0);
        }
        return (await next(command, args)) as unknown;
      },
    };
  }
}

/** Shows no pop-ups, whatever happens; the base class forces some. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }

  override warn(message: string, data?: unknown): void {
    super.warn(message, data, false);
  }

  override info(message: string, data?: unknown): void {
    super.info(message, data, false);
  }
}

function askedOf(
  document: TextDocument,
  position: Position,
  context: InlineCompletionContext,
): Asked {
  const { line, character } = position;
  return {
    at: { uri: document.uri.toString(), version: document.version, line, character },
    language: document.languageId,
    isInvoked: context.triggerKind === InlineCompletionTriggerKind.Invoke,
    isPopUpOpen: context.selectedCompletionInfo !== undefined,
  };
}

function isWanted(token: CancellationToken): boolean {
  return !token.isCancellationRequested;
}

function suggestionsOf(
  result: InlineCompletionItem[] | InlineCompletionList | null | undefined,
): Suggestion[] {
  const items = Array.isArray(result) ? result : (result?.items ?? []);
  return items.flatMap((item) => {
    const [id, index] = (item.command?.arguments ?? []) as unknown[];
    if (typeof id !== "string" || typeof index !== "number") return [];
    const text = typeof item.insertText === "string" ? item.insertText : item.insertText.value;
    return [{ completionId: id, candidateIndex: index, text }];
  });
}
