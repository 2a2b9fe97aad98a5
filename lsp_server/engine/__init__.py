"""The host side: the only serving code that imports torch."""
