"""From raw tables to a promoted bundle. May import state."""
