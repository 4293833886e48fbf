"""hwgen: from a trained ReActNet to proven XNOR-popcount hardware."""

__version__ = "0.1.0"
