"""A control plane as others see it: started as a process, asked over HTTPS. Nothing inside is known here."""
