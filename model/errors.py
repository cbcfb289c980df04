"""What can go wrong in understudy, as one small tree.

UnderstudyError           what, with the value, and what to do; the command line's one line
├── ExportError           this is no chat export, or one we cannot use
├── RosterError           a roster that says something impossible
├── DatasetError          a dataset that is missing, empty or of another make
├── BaseError             starting weights that cannot be had or used
├── TrainingError         training that cannot begin or go on
├── ArtifactError         a trained model that is missing, broken or of another prompt
├── VoiceError            nobody of that name, or nobody who may be imitated
└── GenerationStopped     a generation was told to stop before it ended
"""


class UnderstudyError(Exception):
    """Anything that a person can mend; its text says how."""


class ExportError(UnderstudyError):
    """This is no chat export, or one we cannot use."""


class RosterError(UnderstudyError):
    """A roster says something impossible."""


class DatasetError(UnderstudyError):
    """A dataset is missing, empty or of another make."""


class BaseError(UnderstudyError):
    """Starting weights cannot be had or used."""


class TrainingError(UnderstudyError):
    """Training cannot begin or go on."""


class ArtifactError(UnderstudyError):
    """A trained model is missing, broken or of another prompt."""


class VoiceError(UnderstudyError):
    """Nobody of that name, or nobody who may be imitated."""


class GenerationStopped(UnderstudyError):  # noqa: N818  what was asked for, not a mistake of ours
    """A generation was told to stop before it ended."""
