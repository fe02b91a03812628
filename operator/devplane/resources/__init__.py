"""Which resources there are: built-in ones, those of CustomResourceDefinitions, their versions and metadata. Pure."""
