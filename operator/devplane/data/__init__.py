"""The tables of built-in kinds, made from Kubernetes' own schemas and committed; and the program that makes them."""
