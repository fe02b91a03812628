"""What a container is given: its image's programs, environment, volumes, and paths that lead to them."""
