"""Measurements behind figures in the research log (``docs/research``) and the model cards."""
