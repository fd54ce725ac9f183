"""Phones and small computers, which run LiteRT."""
