"""Reading of tables from files."""
