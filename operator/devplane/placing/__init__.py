"""Which node is for a pod: what the scheduler decides by, and a kubelet checks again."""
