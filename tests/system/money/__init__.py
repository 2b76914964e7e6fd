"""Proofs about money, stock and orders, judged by what clients see.

`docs/proofs.md` lists the variables that make them longer.
"""
