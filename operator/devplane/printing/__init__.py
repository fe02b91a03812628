"""Objects as people read them: tables, columns, ages. Pure."""
