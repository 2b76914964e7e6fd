"""The relational store on a PostgreSQL with faults, and its query plans."""
