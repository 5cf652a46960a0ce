"""The results of a search: files, progress, closing text and HTML report."""
