"""Live captions under load: aural beside the streaming servers that use the same weights."""
