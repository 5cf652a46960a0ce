"""Parts of a search: search space, study, trial runner and jobs, and the output folder."""
