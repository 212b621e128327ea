"""Bytes in any container or raw form become `Pcm`; voice activity; long audio cut into spans for an engine."""
