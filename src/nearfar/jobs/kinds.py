"""The kinds of values that parameters have: a signature names one, and a configuration is held to it.

``settings`` reads signatures without importing them, so an annotation is the bare name of a kind, bool, or a Literal.
"""

Count = int  # of clips, epochs, layers, …
Amount = float  # zero or more
Positive = float  # more than zero
Share = float  # of a whole

SCHEMAS = {
    "Count": {"type": "integer", "minimum": 1, "description": "a whole number, 1 or more"},
    "Amount": {"type": "number", "minimum": 0, "description": "a number, 0 or more"},
    "Positive": {"type": "number", "exclusiveMinimum": 0, "description": "a number above 0"},
    "Share": {"type": "number", "minimum": 0, "maximum": 1, "description": "a number from 0 to 1"},
    "bool": {"type": "boolean", "description": "true or false"},
}
