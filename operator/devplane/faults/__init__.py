"""Faults on demand, for tests of clients. Without a rule nothing here is noticed."""
