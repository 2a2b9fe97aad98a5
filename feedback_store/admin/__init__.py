"""Turns what is stored into pages to read: server-rendered, read-only, nothing from elsewhere."""

from feedback_store.admin.pages import routes

__all__ = ["routes"]
