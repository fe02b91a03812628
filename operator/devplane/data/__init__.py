"""The tables of built-in kinds, made from Kubernetes' own schemas and committed; and the program that makes them.

`protobuf.txt` and `columns.txt` no program of this project makes: no schema has the numbers of fields, or the
columns of `kubectl get`. Each names its source.
"""
