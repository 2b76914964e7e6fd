"""What `quartet` runs."""

from app.garbage_collection import staying


def main() -> None:
    with staying():
        # Here, since imports are what takes a command's first quarter of a second.
        from app.cli import main as command_line
    command_line()
