"""What every test runs under: no model hub, threads that leave cores alone, no deadlines."""

import os
import signal

from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read when torch is loaded

# How long one example takes says how busy the machine is.
settings.register_profile("hone", deadline=None)
settings.load_profile("hone")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Run in the background; what is started here has to hear a Ctrl-C all the same.
    signal.signal(signal.SIGINT, signal.default_int_handler)
