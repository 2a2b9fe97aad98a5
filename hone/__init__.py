"""The front door: arguments and settings in, running processes out."""
