// Turns answers to "may Hone learn here?" into whether anything is recorded in this workspace, and
// into whether to ask again. A value that is kept per workspace; knows nothing of VS Code.

export interface Consent {
  readonly answer: "undecided" | "yes" | "no";
  readonly numAsked: number;
}

export type Choice = "yes" | "no" | "closed";

export const UNDECIDED: Consent = { answer: "undecided", numAsked: 0 };
const MAX_ASKED = 3; // closing the question so often is an answer too

/** Return the consent that was kept, or an undecided one where nothing readable was. */
export function consentOf(kept: unknown): Consent {
  if (typeof kept !== "object" || kept === null) return UNDECIDED;
  const { answer, numAsked } = kept as Partial<Record<keyof Consent, unknown>>;
  if (answer !== "yes" && answer !== "no" && answer !== "undecided") return UNDECIDED;
  return { answer, numAsked: typeof numAsked === "number" ? numAsked : 0 };
}

/** Return whether what people do with suggestions may be recorded. */
export function mayRecord(consent: Consent): boolean {
  return consent.answer === "yes";
}

/** Return whether to ask by ourselves: once per window, and never after an answer. */
export function shouldAsk(consent: Consent, wasAskedHere: boolean): boolean {
  return consent.answer === "undecided" && !wasAskedHere && consent.numAsked < MAX_ASKED;
}

/** Return the consent after the question was answered or closed. */
export function afterAsking(consent: Consent, choice: Choice): Consent {
  const numAsked = consent.numAsked + 1;
  return { answer: choice === "closed" ? consent.answer : choice, numAsked };
}

/** Return the consent after somebody turned learning on or off in the menu. */
export function turned(consent: Consent, on: boolean): Consent {
  return { ...consent, answer: on ? "yes" : "no" };
}
