"""python -m mmsb.log: record finished runs in MLflow."""
