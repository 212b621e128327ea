"""What redaction takes out, by category, and the tags that it leaves: `[CARD_NUMBER]`."""

from __future__ import annotations

import re

CATEGORIES = ("CARD_NUMBER", "PHONE_NUMBER", "ACCOUNT_NUMBER", "EMAIL", "MONEY", "DATE", "TIME")
"""Of entities: what a caller may ask to be taken out."""
PRIVATE = ("CARD_NUMBER", "PHONE_NUMBER", "ACCOUNT_NUMBER", "EMAIL")
"""What `redact=true` takes out."""
PIECE = "NUMBER"
"""What may be a piece of a longer number, and is no entity by itself."""

TAGS = {category: f"[{category}]" for category in (*CATEGORIES, PIECE)}
"""All that redaction can write, by category."""
TAG = re.compile(r"\[(" + "|".join(TAGS) + r")\]")
"""A tag in a text; its group is the category."""
