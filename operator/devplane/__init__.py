"""An embedded Kubernetes control plane for laptops and tests. A leaf: it imports nothing of tunebird."""
