"""What a container is asked while it runs: probes and lifecycle hooks."""
