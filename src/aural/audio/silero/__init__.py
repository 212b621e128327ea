"""The weights of Silero VAD v6 (MIT, see LICENSE) and the script that arranged them for speed."""
