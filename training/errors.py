"""The errors of training and evaluation.

TrainingError
├── TooLittleData           the log is too small, has one customer only, or nobody bought twice
├── UnknownModel            no model has this name, or it has no such option
├── SplitError              dates are malformed, reversed, or outside the data
├── TextEncoderUnavailable  the encoder of descriptions cannot be loaded
└── EngineUnavailable       there is no Ray cluster at the address, or it cannot be used

The names say what happened, so they do not end in "Error" (N818).
"""


class TrainingError(Exception):
    """Base of the errors of fitting and evaluation; the message names the next step."""


class TooLittleData(TrainingError):
    """There is too little data to train on or to evaluate; the message names what is missing."""


class UnknownModel(TrainingError):
    """No model has this name, or it has no such option; the message lists the known ones."""


class SplitError(TrainingError):
    """Dates are malformed, reversed, or leave no invoices on one side."""


class TextEncoderUnavailable(TrainingError):
    """The encoder of descriptions in the settings cannot be loaded; the message lists the alternatives."""


class EngineUnavailable(TrainingError):
    """There is no Ray cluster at the address, or it cannot be used from here; the message says why."""
