"""Schemas of CustomResourceDefinitions: which are accepted, and what they ask of an object. Pure."""
