"""The command line: entry point, exit codes, progress, logging."""
