"""The errors of the engine, drawn as a tree.

EngineError
├── ModelError         a base model that cannot be found, loaded or used
├── AdapterRefused     an adapter that fails its load checks; what serves is untouched
├── AdapterNotFetched  an adapter that another host did not send, or not whole; tried again
├── Superseded         a generation that was cancelled or replaced by a newer request
└── EngineClosed       a request after shutdown began
"""


class EngineError(Exception):
    """Base of everything the engine raises on purpose."""


class ModelError(EngineError):
    """The base model cannot be found, loaded or used; the message names it and says what to do."""


class AdapterRefused(EngineError):
    """An adapter failed its checks at load; the arm that serves is untouched."""


class AdapterNotFetched(EngineError):
    """Another host did not send an adapter, or not whole; what serves is untouched."""


class Superseded(EngineError):
    """The generation was cancelled, by its asker or by a newer request of the same document."""


class EngineClosed(EngineError):
    """The engine is shutting down and takes no more requests."""
