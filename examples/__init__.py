"""Examples of other systems, which use only Quartet's API and its events."""
