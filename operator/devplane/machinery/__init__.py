"""The machinery of the API: verbs on stored objects and what belongs to them. Synchronous, and without HTTP."""
