"""The errors of the trainer, drawn as a tree.

TrainerError
├── ReplayError        a process of Hone failed in a replay, or its folder holds another one
├── NightRunning       another night holds the lock of this data folder
├── LiveAdapterBroken  the files of what serves are missing or torn here: nothing to compare with
├── TrainingDiverged   the loss became NaN or infinite; nothing was saved
├── DatasetError       rows that cannot be trained on
└── SourceError        a code base that cannot be replayed
"""


class TrainerError(Exception):
    """Base of everything the trainer raises on purpose."""


class NightRunning(TrainerError):
    """Another night holds the lock of this data folder; wait for it or end it."""


class LiveAdapterBroken(TrainerError):
    """The files of the live adapter are missing or torn here; the message says what to do."""


class TrainingDiverged(TrainerError):
    """The loss became NaN or infinite; the message names the step and what to lower."""


class DatasetError(TrainerError):
    """Rows that cannot be trained on; the message says which and why."""


class SourceError(TrainerError):
    """A code base that cannot be replayed; the message says what it is or lacks, in one line."""


class ReplayError(TrainerError):
    """A process of Hone failed in a replay, or its folder is another's; says what to do."""
