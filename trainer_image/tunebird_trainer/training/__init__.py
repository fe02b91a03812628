"""The training loop and what it is given: arguments, objectives, packing, curves, precision, randomness, ZeRO."""
