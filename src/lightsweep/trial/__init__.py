"""What a job knows of its trial, its search and the processes that run both."""
