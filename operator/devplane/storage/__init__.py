"""Objects and how they are chosen: the store, with SQLite behind it, and selectors."""
