"""The resources of the API, one module each. Modules under the same heading of the API document share a blueprint."""
