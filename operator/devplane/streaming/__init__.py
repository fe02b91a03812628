"""Connections that stay open and carry bytes both ways: exec, attach, port-forward."""
