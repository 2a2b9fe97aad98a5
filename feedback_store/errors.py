"""What the store raises when something outside it is wrong.

StoreError
├── DatabaseError   the database cannot be opened, is foreign, too new or locked
│   └── DatabaseFullError   there is no room on its disk
├── AdapterError    an adapter directory is torn, foreign, unsafe or altered
├── RegistryError   an adapter is unknown, or the change asked for is not allowed
├── AccessError     a user or token is unknown, or cannot be made like this
├── BusyError       more waits to be written than the store keeps up with
├── BackupError     a backup cannot be made, or is not one
└── EventError      a completion or event that must not be stored was handed in

Messages are one line: what, with which value, and what to do. This module knows nothing of how
they are shown.
"""


class StoreError(Exception):
    """Base of everything that the feedback store raises on purpose."""


class DatabaseError(StoreError):
    """The database cannot be used as it is."""


class DatabaseFullError(DatabaseError):
    """Nothing more can be written until somebody makes room."""


class AdapterError(StoreError):
    """An adapter directory is not what its manifest, or its caller, says it is."""


class RegistryError(StoreError):
    """The registry does not know this adapter, or refuses this change of state."""


class AccessError(StoreError):
    """There is no such user or token, or it cannot be made as asked."""


class BusyError(StoreError):
    """More waits to be written than the store keeps up with; nothing was stored."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        """Keep the seconds after which there may be room."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BackupError(StoreError):
    """A backup cannot be made, or what is called one cannot be used."""


class EventError(StoreError):
    """Something was handed in that the store must not, or cannot, hold."""
