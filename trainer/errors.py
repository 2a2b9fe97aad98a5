"""The errors of the trainer, drawn as a tree.

TrainerError
├── NightRunning       another night holds the lock of this data folder
├── TrainingDiverged   the loss became NaN or infinite; nothing was saved
└── DatasetError       rows that cannot be trained on
"""


class TrainerError(Exception):
    """Base of everything the trainer raises on purpose."""


class NightRunning(TrainerError):
    """Another night holds the lock of this data folder; wait for it or end it."""


class TrainingDiverged(TrainerError):
    """The loss became NaN or infinite; the message names the step and what to lower."""


class DatasetError(TrainerError):
    """Rows that cannot be trained on; the message says which and why."""
