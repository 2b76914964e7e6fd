"""structlog, without its tracebacks by rich: these print the values of variables, and rich is a tenth of a start.

structlog imports rich wherever it is installed, as here for the bars of `quartet seed`.
"""

import sys

_hidden = "rich" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # Python's way to say that there is none
try:
    import structlog
finally:
    if _hidden:
        del sys.modules["rich"]

__all__ = ["structlog"]
