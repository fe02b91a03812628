"""An embedded Kubernetes control plane for laptops and tests. A leaf: it imports nothing of tunebird.

The rooms, and in which order to read them: docs/devplane.md, "How it is built".
"""
