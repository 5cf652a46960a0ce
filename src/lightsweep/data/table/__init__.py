"""Tables: reading, kinds of columns, splits, preprocessing, and a cache that all trials of a machine share."""
