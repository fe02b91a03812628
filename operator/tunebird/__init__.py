"""Tunebird: FineTuneJob and ModelRollout on Kubernetes."""

__version__ = "0.1.0"
