"""What every test runs under: no model hub, threads that leave cores alone, no deadlines."""

import gc
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read when torch is loaded

# How long one example takes says how busy the machine is.
settings.register_profile("hone", deadline=None)
settings.load_profile("hone")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background; what is started here has to hear a Ctrl-C all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_collections() -> Iterator[None]:
    """Spare a timing the collection of all that the suite has allocated: a second, at worst."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def processor_s(no_collections: None) -> Callable[[Callable[[], object]], float]:
    """Give a stopwatch: seconds of processor time that a call takes, the best of three.

    Other processes share the machine, and make even processor time longer.
    """

    def seconds(work: Callable[[], object]) -> float:
        begun = time.thread_time()
        work()
        return time.thread_time() - begun

    return lambda work: min(seconds(work) for _ in range(3))
