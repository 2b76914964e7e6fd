"""Settings and logging. Imported only by the top of the application: container, CLI and WSGI entry."""

from config.settings import Settings, SettingsError

__all__ = ["Settings", "SettingsError"]
