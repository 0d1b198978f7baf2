"""Invoice events: the wire format, dialects, dates, and how bytes become an ``Invoice``."""
