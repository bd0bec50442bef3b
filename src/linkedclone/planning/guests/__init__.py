"""Which stages guests go through, and when one is late or has failed."""
