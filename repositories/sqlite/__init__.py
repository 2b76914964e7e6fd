"""The file under every embedded adapter: where it is, how it is opened, who waits for whom."""
