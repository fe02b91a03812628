"""What lets a run go on after a failure: processes, heartbeats, checkpoints, and what a failure was."""
