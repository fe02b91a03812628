"""Containers as processes: the shim that starts them, their output, memory, and what joins them later."""
