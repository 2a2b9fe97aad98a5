"""What every test runs under: no model hub, and threads that leave shared cores alone."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # read when torch is loaded
