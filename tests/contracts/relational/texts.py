"""Texts that a store has to keep as they are, and texts that it refuses."""

TEXTS = [
    "",
    "Gr\u00fc\u00dfe",
    "e\u0301 and \u00e9",
    "\U0001f469\u200d\U0001f467",
    "\u0645\u0631\u062d\u0628\u0627 \u202etxet",
    "\u0130i\u0131I",
    "a\tb\nc\r\\N 'quoted' \"doubly\" %s :name \\.",
    "\ufeff\u2028\x01\x7f\uffff",
]
BAD_TEXTS = ["a\0b", "\ud800", "\udfff tail"]
