"""How fast aural serves, measured against other ways to serve the same weights. Start with serving.py."""
