"""Outcomes in, a better adapter out, or a reasoned no."""
