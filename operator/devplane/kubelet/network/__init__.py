"""Addresses and names of pods and Services on loopback, and the ports of cluster IPs."""
