"""What a run leaves: its forms on disk, the model card, the manifest, and proof that the model stops."""
