"""The editor side: one light process per editor. No torch, no database."""
