"""What a schema says of a value, built-in or custom: types, decoding, structure, formats, violations. Pure."""
