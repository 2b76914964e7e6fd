"""What a live move needs of the stores: places, their marks, and what notes changes in databases of SQL."""
