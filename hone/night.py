"""Turns settings into one night of training, told on the terminal or as one JSON object.

The night itself is `trainer.nightly`; this module gives it a low priority, a cap on threads and a
progress bar, and turns its result into an exit code.
"""
