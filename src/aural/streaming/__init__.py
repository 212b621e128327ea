"""A client of live captions: what the command line and the benchmarks speak to a server with."""
