"""A client of the public API that measures any endpoint of speech recognition. Never imports the server."""
