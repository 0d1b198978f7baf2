"""Everything that runs online: the worker around a Faust agent, its commands, and the services for trying it out."""
