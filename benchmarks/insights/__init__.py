"""How well the embedded skills understand: the rows of `insight.py`, and what they are made of."""
