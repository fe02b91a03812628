"""CEL as the API server speaks it: grammar, types, costs and functions around the engine `cel`. Pure."""
