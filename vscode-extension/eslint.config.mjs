import tseslint from "typescript-eslint";

export default tseslint.config(
  { ignores: ["dist/", "node_modules/", "*.mjs"] },
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      complexity: ["error", 10],
      "max-lines": ["error", 400],
      "max-lines-per-function": ["error", { max: 60 }],
      "max-params": ["error", 6],
      "no-console": "error",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    // Everything else is testable without VS Code because it cannot reach it.
    files: ["src/**/*.ts"],
    ignores: ["src/extension.ts", "src/vscodeapi.ts", "src/server.ts"],
    rules: {
      "@typescript-eslint/no-restricted-imports": [
        "error",
        { paths: ["vscode"], patterns: ["vscode-languageclient", "vscode-languageclient/*"] },
      ],
    },
  },
  {
    files: ["tests/**/*.ts"],
    rules: {
      // Node's runner reports a failed test by itself; its promise is not for the caller.
      "@typescript-eslint/no-floating-promises": "off",
      "max-lines-per-function": "off",
    },
  },
);
