"""Settings and logging. Imported by the top of the application only: container, CLI and WSGI entry."""

from config.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError"]
