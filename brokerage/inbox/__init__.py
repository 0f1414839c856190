"""The day's files: read, applied and answered with one result."""
