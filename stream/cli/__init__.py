"""The command line: entry point, options, errors and exit codes, progress, logging."""
