"""The stores' side of live moves: places, their marks, and the capture of changes in SQL databases."""
