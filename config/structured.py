"""Imports structlog without rich, whose tracebacks print the values of variables, and whose import takes a tenth of
the start time.

structlog imports rich wherever it is installed. Here it is installed for the progress bars of `quartet seed`.
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
