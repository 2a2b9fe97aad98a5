"""Turns what goes wrong at the editor's edges into errors with one base class.

The pure modules return a value or `None`; only edges raise these:

    EditorError
    ├── ConfigError    a setting of the editor side cannot be used
    ├── HostError      the host did not answer, or answered something unusable
    └── OutboxError    events could not be kept on disk

This module knows nothing of what its callers do about an error.
"""


class EditorError(Exception):
    """Base of every error that the editor side raises on purpose."""


class ConfigError(EditorError):
    """A setting cannot be used; the message names it, its value and what to write instead."""


class HostError(EditorError):
    """The host did not answer in time, refused, or sent something that is no answer."""


class OutboxError(EditorError):
    """Events could not be written to, or read from, the outbox folder."""
