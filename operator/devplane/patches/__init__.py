"""What a patch makes of an object, and who owns which field then. Pure."""
