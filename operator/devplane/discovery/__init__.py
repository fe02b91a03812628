"""What clients ask before anything else: which resources there are, and what their fields mean."""
