"""Microcontrollers, which run TFLite Micro."""
