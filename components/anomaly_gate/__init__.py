"""Stops the run where ExampleValidator found anomalies."""
