"""Money, stock and orders, proved by what clients see.

`docs/proofs.md` says which variables make them longer.
"""
