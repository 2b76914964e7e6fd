"""The entry point of the command `quartet`."""

from app.garbage_collection import staying


def main() -> None:
    with staying():
        # Imported within `staying`: the imports take the first quarter of a second of a command.
        from app.cli import main as command_line
    command_line()
