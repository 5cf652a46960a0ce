"""The search itself: space, study, runner, jobs, and the folder that they write."""
