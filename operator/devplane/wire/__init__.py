"""Bytes and their meaning: what a request asks for, which form its answer has. No storage."""
