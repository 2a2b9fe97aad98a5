"""Pauses Python's search for cycles while very many objects are made that form none.

The search looks through all objects again and again as their number grows: a third of the time of
loading a window. Knows nothing of what is made.
"""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_num_pauses = 0
_was_enabled = False


@contextmanager
def no_collection() -> Iterator[None]:
    """Collect no cycles meanwhile, in the whole process; also a decorator. Pauses may overlap."""
    global _num_pauses, _was_enabled
    with _lock:
        if not _num_pauses:
            _was_enabled = gc.isenabled()
            gc.disable()
        _num_pauses += 1
    try:
        yield
    finally:
        with _lock:
            _num_pauses -= 1
            if not _num_pauses and _was_enabled:
                gc.enable()
