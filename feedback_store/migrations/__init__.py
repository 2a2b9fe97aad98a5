"""Turns an older database into the one that `feedback_store.models` describes (Alembic)."""
