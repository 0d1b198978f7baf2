"""Invoice events: the wire format, dialects, dates, and the decoder from bytes to an ``Invoice``."""
