"""Pauses Python's search for cycles while very many objects are made that form none.

The search looks through all objects again and again as their number grows: a third of the time of
loading a window. Knows nothing of what is made.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect no cycles meanwhile, in the whole process; also a decorator. Pauses may be nested."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
