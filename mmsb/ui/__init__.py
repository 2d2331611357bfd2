"""python -m mmsb.ui: MLflow's UI with what was recorded."""
