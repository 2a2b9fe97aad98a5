"""Turns what is stored into pages to read: server-rendered, nothing from elsewhere."""

from feedback_store.admin.pages import routes
from feedback_store.admin.review_pages import routes as review_routes
from feedback_store.admin.sign_in import sign_in_routes

__all__ = ["review_routes", "routes", "sign_in_routes"]
