"""What a search found: counts, tables, the closing text and the HTML report."""
