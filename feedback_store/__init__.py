"""Events, outcomes, reviews and the adapter registry; imports nothing of ours."""
