"""Turns a code base and a simulated developer into measured days and nights of learning."""
