"""What the doctors ask of the relational truth."""
