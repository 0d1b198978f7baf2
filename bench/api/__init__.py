"""Speed of the API under load."""
