"""What training refuses to do, and why.

TrainingError
├── TooLittleData     the log is too small, has one customer only, or nobody bought twice
├── UnknownModel      no model has this name, or it takes no such option
├── SplitError        dates that are none, reversed, or outside the data
└── TextEncoderUnavailable  the encoder of descriptions cannot be had

The names say what is the matter; "Error" behind each would add nothing (hence N818).
"""


class TrainingError(Exception):
    """Base of what fitting and evaluation raise on purpose; the message says what to do next."""


class TooLittleData(TrainingError):
    """There is not enough to learn from or to judge by; the message says what is missing."""


class UnknownModel(TrainingError):
    """No model has this name, or it takes no such option; the message lists those there are."""


class SplitError(TrainingError):
    """Dates are no dates, reversed, or leave nothing on one side."""


class TextEncoderUnavailable(TrainingError):
    """The encoder of descriptions that the settings name cannot be had; the message says what can be set instead."""
