"""What every test runs under: no model hub, threads that leave cores alone, no deadlines."""

import os

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read when torch is loaded

# How long one example takes says how busy the machine is.
settings.register_profile("hone", deadline=None)
settings.load_profile("hone")
