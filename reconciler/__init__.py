"""Keeps charon's IPsec tunnels as airports.json declares them, and says truthfully how they are."""

__version__ = "0.1.0"
