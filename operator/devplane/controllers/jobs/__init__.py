"""The Job controller: what is seen of a Job's pods, and the plan that follows from it."""
