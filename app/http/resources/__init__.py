"""One module and one blueprint per resource."""
