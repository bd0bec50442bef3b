"""Values with rules of their own: names, sizes, durations, addresses of cards, secrets."""
