"""The API server over HTTPS: from a request to its answer. Decides nothing about objects: that is the machinery."""
