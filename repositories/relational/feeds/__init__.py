"""What feeds keep in the relational store: feed activity and fan-outs."""
