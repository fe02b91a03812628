"""Trains one language model from one config file and publishes it whole or not at all."""

__version__ = "0.1.0"
