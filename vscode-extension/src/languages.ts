// Turns the setting `hone.languages` into whether a language gets suggestions, and back.

export type Languages = Readonly<Record<string, boolean>>;

/** Return whether to suggest in a language; what is neither listed nor covered by `*` is on. */
export function isEnabled(languages: Languages, language: string): boolean {
  return languages[language] ?? languages["*"] ?? true;
}

/** Return the setting with one language turned the other way. */
export function toggled(languages: Languages, language: string): Languages {
  return { ...languages, [language]: !isEnabled(languages, language) };
}
