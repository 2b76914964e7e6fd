"""The relay: at least once, in order, past poison, past absent stores, past its own death at any point."""
