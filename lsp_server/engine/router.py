"""Turns a person into the arm that answers them: live for most, the canary for a fixed share.

The choice is a hash of the pseudonymous user, so one person sees one model. Pointers flip in one
assignment; whoever holds an arm keeps it until it has answered. It knows nothing of how arms run.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from lsp_server.engine.arm import Arm

ArmName = Literal["live", "canary"]


@dataclass(frozen=True)
class Routes:
    """Who serves now: the live arm, and a canary for a share of people."""

    live: Arm
    canary: Arm | None = None
    canary_share: float = 0.0


class Router:
    """Holds the present routes; replaced as a whole, never changed in place."""

    def __init__(self, live: Arm) -> None:
        self._routes = Routes(live)

    @property
    def routes(self) -> Routes:
        """The present routes."""
        return self._routes

    def set_live(self, arm: Arm) -> Arm:
        """Flip the live pointer; return the arm that served before."""
        old = self._routes
        self._routes = Routes(arm, old.canary, old.canary_share)
        return old.live

    def set_canary(self, arm: Arm | None, share: float = 0.0) -> Arm | None:
        """Set or clear the canary; return the one before. Raises ValueError outside 0..1."""
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a canary's share must lie between 0 and 1, not {share}")
        old = self._routes
        self._routes = Routes(old.live, arm, share)
        return old.canary

    def choose(self, user: str) -> tuple[ArmName, Arm]:
        """Return the arm that answers `user`."""
        routes = self._routes
        if routes.canary is not None and _share_of(user) < routes.canary_share:
            return "canary", routes.canary
        return "live", routes.live


def _share_of(user: str) -> float:
    """Return a number in [0, 1) that is fixed for a user."""
    return int.from_bytes(hashlib.sha256(user.encode()).digest()[:4], "big") / 2**32
