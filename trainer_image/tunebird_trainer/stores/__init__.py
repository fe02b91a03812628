"""Where data, models, checkpoints and artifacts come from and go to: volumes, object stores, the web, registries."""
