"""Imports structlog without rich, which structlog would import wherever it is installed.

rich is installed for the progress bars of `quartet seed`. Its tracebacks print the values of variables, and its import
takes a tenth of the start time.
"""

import sys

_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # makes `import rich` raise ImportError
try:
    import structlog
finally:
    if _hidden:
        del sys.modules["rich"]

__all__ = ["structlog"]
