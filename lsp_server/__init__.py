"""The language server (editor side) and the engine (GPU host side)."""
