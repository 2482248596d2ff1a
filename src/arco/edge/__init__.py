"""The HTTP kit: what every role's door is made of (auth, decoding, errors, pages, health, serving)."""
