"""Lets the tests of the front door use what stands beside them, and the store's material."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "feedback_store")]
